"""What registries and clients are told is valid and starts this server: server.json, the bundle, the install links."""

import base64
import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import jsonschema
import pytest
from aimlops_server.install.clients import KEYS, NAME
from aimlops_server.settings import Settings, sources
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from pydantic import SecretStr

from tests.generate import README, ROOT, SERVER_JSON, project, registry_name, server_json
from tests.package import pinned_needs

LIMIT_S = 20
SCHEMAS = Path(__file__).parent / "schemas"
TOOLS = {file.stem for file in (Path(__file__).parent / "snapshots").glob("*.json")}
PUBLISHED = ["--from", f"git+{project()['urls']['Repository']}", "scp-aimlops-mcp"]


def validate(document: Any, schema: str) -> None:
    checks: dict[str, Any] = json.loads((SCHEMAS / schema).read_text("utf-8"))
    jsonschema.Draft7Validator(checks, format_checker=jsonschema.FormatChecker()).validate(document)  # pyright: ignore[reportUnknownMemberType] reason: jsonschema types its arguments as unknown


def test_the_registry_accepts_server_json() -> None:
    document = json.loads(SERVER_JSON.read_text("utf-8"))
    validate(document, "server.schema.json")
    assert document == server_json()
    # It proves by the README of the package whose it is.
    assert f"mcp-name: {registry_name()} " in README.read_text("utf-8")


def test_server_json_names_every_setting_and_marks_the_secrets() -> None:
    variables = {each["name"]: each for each in server_json()["packages"][0]["environmentVariables"]}
    assert list(variables) == [sources(field)[0] for field in Settings.model_fields.values()]
    marked = {name for name, each in variables.items() if each.get("isSecret")}
    typed = {
        sources(f)[0] for f in Settings.model_fields.values() if SecretStr in getattr(f.annotation, "__args__", ())
    }
    assert marked == typed | {"SCP_ACCESS_KEY"}
    assert "SCP_SECRET_KEY" in typed


def test_everything_that_is_installed_with_the_package_is_pinned() -> None:
    needs = pinned_needs()
    assert {name: version(name) for name in needs} == needs
    assert {"mcp", "starlette", "shtab"} <= set(needs)


def test_this_checkout_has_one_address() -> None:
    repository = project()["urls"]["Repository"]
    text = README.read_text("utf-8") + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert text.count("github.com/your-account") == text.count(repository.removeprefix("https://"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked bundle."""
    folder = tmp_path_factory.mktemp("bundle")
    archives = [folder / "a.mcpb", folder / "b.mcpb"]
    for archive in archives:
        subprocess.run([sys.executable, ROOT / "mcpb" / "build.py", archive], check=True, timeout=LIMIT_S)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with zipfile.ZipFile(archives[0]) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def as_claude_desktop_sets(manifest: dict[str, Any], folder: Path, answers: dict[str, str]) -> StdioServerParameters:
    """What Claude Desktop starts, with this Python for the one that uv would bring."""
    values = {f"user_config.{name}": str(each["default"]).lower() for name, each in manifest["user_config"].items()}
    values |= {"__dirname": str(folder)} | {f"user_config.{name}": value for name, value in answers.items()}

    def filled(text: str) -> str:
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        assert "${" not in text
        return text

    command = [manifest["server"]["mcp_config"]["command"], *manifest["server"]["mcp_config"]["args"]]
    assert [filled(word) for word in command] == [
        *("uv", "tool", "run", "--constraints", str(folder / "constraints.txt")),
        *("--from", str(folder), "scp-aimlops-mcp"),
    ]
    env = {name: filled(value) for name, value in manifest["server"]["mcp_config"]["env"].items()}
    packages = os.pathsep.join(str(folder / name) for name in ("tools", "server", "prompts"))
    state = os.environ["SCP_MCP_STATE_DIR"]
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "aimlops_server"],
        env={**env, "PYTHONPATH": packages, "SCP_MCP_STATE_DIR": state},
        cwd=folder,
    )


def test_the_bundle_is_whole(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    validate(manifest, "mcpb-manifest-v0.4.schema.json")
    assert (manifest["name"], manifest["version"]) == (project()["name"], project()["version"])
    assert {tool["name"] for tool in manifest["tools"]} == TOOLS
    assert (bundle / manifest["server"]["entry_point"]).is_file()
    assert {name for name, each in manifest["user_config"].items() if each.get("sensitive")} == {
        "access_key",
        "secret_key",
    }
    # What the build needs, and what the approval page needs.
    pages = "server/aimlops_server/guard/page"
    for name in ("README.md", "LICENSE", "pyproject.toml", f"{pages}/templates/plan.html", f"{pages}/static/page.css"):
        assert (bundle / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.anyio
async def test_the_unpacked_bundle_starts_as_its_manifest_says(bundle: Path) -> None:
    manifest = json.loads(await anyio.Path(bundle / "manifest.json").read_text("utf-8"))
    asked = as_claude_desktop_sets(manifest, bundle, {})
    answered = as_claude_desktop_sets(manifest, bundle, {"read_only": "true", "region": "kr-east1"})
    offered: list[set[str]] = []
    for server in (asked, answered):
        where = await anyio.run_process(
            [sys.executable, "-c", "import aimlops_server; print(aimlops_server.__file__)"], env=server.env
        )
        assert Path(where.stdout.decode().strip()).is_relative_to(bundle)
        with anyio.fail_after(LIMIT_S):
            async with Client(server) as session:
                offered.append({tool.name for tool in (await session.list_tools()).tools})
    assert offered[0] == TOOLS
    assert offered[0] - offered[1] == {"create_platform", "update_platform", "delete_platform"}


def links() -> dict[str, list[str]]:
    """The targets of the README's install links by client."""
    part = README.read_text("utf-8").split("<!-- install: generated -->")[1].split("<!-- end -->")[0]
    rows = [row.split(" | ") for row in part.splitlines() if "](https" in row]
    return {row[0].strip("| "): [cell.split("](")[1].split(")")[0] for cell in row[1:3]] for row in rows}


def parameters(link: str, address: str) -> dict[str, str]:
    parts = urlsplit(link)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == address
    return {name: value for name, [value] in parse_qs(parts.query, strict_parsing=True).items()}


def test_the_links_for_vs_code_decode_to_an_entry_and_its_questions() -> None:
    sandbox, real = (
        parameters(link, "https://insiders.vscode.dev/redirect/mcp/install") for link in links()["VS Code"]
    )
    assert (sandbox["name"], set(sandbox)) == (NAME, {"name", "config"})
    assert json.loads(sandbox["config"]) == {"type": "stdio", "command": "uvx", "args": [*PUBLISHED, "--sandbox"]}
    inputs = json.loads(real["inputs"])
    assert all(each["password"] is True for each in inputs)
    assert json.loads(real["config"]) == {
        "type": "stdio",
        "command": "uvx",
        "args": PUBLISHED,
        "env": dict(zip(KEYS, (f"${{input:{each['id']}}}" for each in inputs), strict=True)),
    }


def test_the_links_for_cursor_decode_to_an_entry() -> None:
    for link, more in zip(links()["Cursor"], (["--sandbox"], []), strict=True):
        given = parameters(link, "https://cursor.com/install-mcp")
        assert given["name"] == NAME
        assert json.loads(base64.b64decode(given["config"], validate=True)) == {
            "command": "uvx",
            "args": [*PUBLISHED, *more],
        }
