"""Builds the bundle for Claude Desktop: a zip of the sources and a manifest. `make mcpb` runs it.

The format: https://github.com/modelcontextprotocol/mcpb/blob/main/MANIFEST.md, version 0.4, whose server type `uv`
brings the right Python and the dependencies for the user's system.
"""

import json
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aimlops_server.settings import Settings, sources

ROOT = Path(__file__).parent.parent
FILES = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "CHANGELOG.md")
PACKAGES = ("tools/aimlops_tools", "server/aimlops_server", "prompts/aimlops_prompts")

# What Claude Desktop asks the user for; the first source of each setting is the variable that carries it.
ASKED = {
    "access_key": "Access key",
    "secret_key": "Secret key",
    "account_id": "Account id",
    "region": "Region",
    "environment": "Environment",
    "read_only": "Read only",
}
SENSITIVE = {"access_key", "secret_key"}


def manifest() -> dict[str, Any]:
    """The bundle's manifest.json."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": "SCP AI&MLOps Platform",
        "version": project["version"],
        "description": project["description"],
        "author": {"name": "The scp-aimlops-mcp maintainers"},
        "repository": {"type": "git", "url": project["urls"]["Repository"]},
        "license": project["license"],
        "keywords": project["keywords"],
        "server": {
            "type": "uv",
            "entry_point": f"{PACKAGES[1]}/__main__.py",
            "mcp_config": {
                "command": "uv",
                # The very versions that the tests ran with.
                "args": [
                    *("tool", "run", "--constraints", "${__dirname}/constraints.txt"),
                    *("--from", "${__dirname}", project["name"]),
                ],
                "env": {_variable(name): f"${{user_config.{name}}}" for name in ASKED},
            },
        },
        "user_config": {name: _question(name) for name in ASKED},
        "tools": list(_tools()),
        # A prompt's text would have to stand here; the server makes it of the arguments.
        "prompts_generated": True,
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": project["requires-python"]},
        },
    }


def _tools() -> Iterator[dict[str, str]]:
    for file in sorted((ROOT / "tests" / "snapshots").glob("*.json")):
        tool = json.loads(file.read_text("utf-8"))
        yield {"name": tool["name"], "description": tool["description"].split(". ")[0].rstrip(".")}


def _variable(setting: str) -> str:
    return sources(Settings.model_fields[setting])[0]


def _question(setting: str) -> dict[str, Any]:
    field = Settings.model_fields[setting]
    if isinstance(field.default, bool):
        return {
            "type": "boolean",
            "title": ASKED[setting],
            "description": field.description,
            "required": False,
            "default": field.default,
        }
    return {
        "type": "string",
        "title": ASKED[setting],
        "description": f"{field.description}. Empty: from ~/.scpconf"
        + (f", else {field.default}" if field.default else ""),
        # Without a default Claude Desktop would pass the placeholder itself; an empty value counts as unset.
        "required": False,
        "default": "",
        **({"sensitive": True} if setting in SENSITIVE else {}),
    }


def build(bundle: Path) -> None:
    """Write the bundle; the same sources make the same bytes."""
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _contents():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "manifest.json", json.dumps(manifest(), indent=2, ensure_ascii=False).encode()
    for name in FILES:
        yield name, (ROOT / name).read_bytes()
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(ROOT).as_posix(), file.read_bytes()


if __name__ == "__main__":
    build(Path(sys.argv[1]))
