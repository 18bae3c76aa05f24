"""Writes what is generated: the tools' snapshots, the golden exchanges and the README's tables. `make docs` runs it."""

import json
import re
from pathlib import Path
from typing import Any

from aimlops_server.settings import Settings, sources
from aimlops_server.tool import describe, offered_operations
from aimlops_tools import OPERATIONS
from aimlops_tools.reference import operations_table

from tests.examples import EXAMPLES

TESTS = Path(__file__).parent
SNAPSHOTS = TESTS / "snapshots"
WIRE = TESTS / "wire"
README = TESTS.parent / "README.md"


def tool_snapshots() -> dict[str, Any]:
    """Every tool as a client sees it."""
    tools = describe(offered_operations(read_only=False))
    return {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools}


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


def settings_table() -> str:
    """A Markdown table of every setting, its sources in order, default and meaning."""
    rows = ["| setting, first found wins | default | meaning |", "| --- | --- | --- |"]
    for field in Settings.model_fields.values():
        names = ", ".join(f"`{source}`" for source in sources(field))
        default = (
            "–"
            if field.default is None
            else f"`{str(field.default).lower() if field.default is False else field.default}`"
        )
        rows.append(f"| {names} | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def readme(text: str) -> str:
    """The README with its generated parts renewed."""
    for name, table in (("tools", operations_table()), ("settings", settings_table())):
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
    README.write_text(readme(README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
