"""Writes what is generated: the tools' snapshots, the golden exchanges, server.json, docs/reference.md, and the tables
and links of the README.

`make docs` runs it.
"""

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from aimlops_server.describe import describe
from aimlops_server.install.links import claude_code_line, cursor_link, published, vscode_link
from aimlops_server.settings import Settings, choices, default_text, sources
from aimlops_server.tool import offered_tools
from aimlops_tools import OPERATIONS
from aimlops_tools.reference import operations_table, procedures_table
from pydantic.fields import FieldInfo

from tests.examples import EXAMPLES
from tests.reference import reference, settings_table

TESTS = Path(__file__).parent
SNAPSHOTS = TESTS / "snapshots"
WIRE = TESTS / "wire"
ROOT = TESTS.parent
README = ROOT / "README.md"
SERVER_JSON = ROOT / "server.json"
REFERENCE = ROOT / "docs" / "reference.md"

# What most people set; the rest is in the reference.
MOST_USED = ("access_key", "secret_key", "region", "confirm", "read_only")


def tool_snapshots() -> dict[str, Any]:
    """Every tool as a client sees it."""
    tools = describe(offered_tools(read_only=False).values())
    return {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools}


def tools_fingerprint() -> str:
    """Twelve hex digits that change when anything a client sees of a tool does."""
    return hashlib.sha256(as_json(tool_snapshots()).encode()).hexdigest()[:12]


def wire_exchanges() -> dict[str, Any]:
    """Every operation's example as it goes on the wire under each configured version, secrets hidden."""
    exchanges: dict[str, Any] = {}
    for name, operation_class in OPERATIONS.items():
        operation = operation_class.validate_arguments(EXAMPLES[name])
        requests: dict[str, Any] = {}
        for configured in ("1.0", "1.1", "1.2"):
            request = operation.wire(configured)
            requests[configured] = {
                "method": request.method,
                "target": request.target,
                "Scp-Api-Version": f"aimlops-platform {request.version}",
                "body": operation.shown_body(),
            }
        exchanges[name] = {"arguments": _hidden(EXAMPLES[name]), "requests": requests}
    return exchanges


def _hidden(arguments: dict[str, Any]) -> Any:
    return json.loads(re.sub(r'("initial_user_password": )"[^"]*"', r'\1"•••"', json.dumps(arguments)))


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def registry_name() -> str:
    """This server's name in the MCP registry, which checks that the README says it."""
    owner, name = project()["urls"]["Repository"].removeprefix("https://github.com/").split("/")
    return f"io.github.{owner}/{name}"


def server_json() -> dict[str, Any]:
    """This server as the MCP registry lists it; its format is tests/schemas/server.schema.json."""
    package = project()
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": registry_name(),
        "title": "SCP AI&MLOps Platform",
        "description": "Samsung Cloud Platform AI&MLOps (managed Kubeflow); a person confirms every change",
        "repository": {"url": package["urls"]["Repository"], "source": "github"},
        "version": package["version"],
        "packages": [
            {
                "registryType": "pypi",
                "identifier": package["name"],
                "version": package["version"],
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "environmentVariables": [_variable(field) for field in Settings.model_fields.values()],
            }
        ],
    }


def _variable(field: FieldInfo) -> dict[str, Any]:
    kind = "boolean" if field.annotation is bool else "number" if field.annotation is float else None
    name = sources(field)[0]
    return {
        "name": name,
        "description": field.description,
        **({"format": kind} if kind else {}),
        # Not a default: a client would set it, and a set variable wins over the vendor's files.
        **({"placeholder": default_text(field)} if default_text(field) else {}),
        **({"choices": choices(field)} if choices(field) and not kind else {}),
        **({"isSecret": True} if name.endswith(("_KEY", "_TOKEN")) else {}),
    }


def install_links() -> str:
    """What installs the published source with one click or one line, first the sandbox, then the real service."""
    repository = project()["urls"]["Repository"]
    sandbox, real = (published(repository, sandbox=choice) for choice in (True, False))
    return (
        f"<!-- mcp-name: {registry_name()} -->\n"
        "| client | the sandbox | the real service |\n"
        "| --- | --- | --- |\n"
        f"| VS Code | [install]({vscode_link(sandbox, ask=False)}) | [install]({vscode_link(real, ask=True)}), "
        "asks for the keys |\n"
        f"| Cursor | [install]({cursor_link(sandbox)}) | [install]({cursor_link(real)}) |\n"
        f"| Claude Code | `{claude_code_line(sandbox)}` | `{claude_code_line(real)}` |\n"
    )


def readme(text: str) -> str:
    """The README with its generated parts renewed."""
    parts = (
        ("tools", operations_table()),
        ("procedures", procedures_table()),
        ("settings", settings_table(Settings.model_fields[name] for name in MOST_USED)),
        ("install", install_links()),
    )
    for name, table in parts:
        pattern = rf"(<!-- {name}: generated -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda m, t=table: m[1] + t + m[2], text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"the README needs one <!-- {name}: generated --> … <!-- end -->")
    return text


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    for folder, contents in ((SNAPSHOTS, tool_snapshots()), (WIRE, wire_exchanges())):
        folder.mkdir(exist_ok=True)
        for stale in folder.glob("*.json"):
            stale.unlink()
        for name, value in contents.items():
            (folder / f"{name}.json").write_text(as_json(value), "utf-8")
    SERVER_JSON.write_text(json.dumps(server_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    REFERENCE.write_text(reference(), "utf-8")
    README.write_text(readme(README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
