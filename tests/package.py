"""Checks what `make package` and `make sbom` made; each ends with a traceback if it is not right."""

import json
import os
import re
import sys
import tempfile
import zipfile
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import anyio
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LIMIT_S = 30
PACKAGE = "scp-aimlops-mcp"


def wheel(file: Path) -> None:
    """Every file of the packages is in the wheel: templates, styles and type markers too."""
    folders = [ROOT / "tools", ROOT / "server", ROOT / "prompts"]
    source = {
        each.relative_to(folder).as_posix()
        for folder in folders
        for each in folder.rglob("*")
        if each.is_file() and "__pycache__" not in each.parts
    }
    packed = {name for name in zipfile.ZipFile(file).namelist() if ".dist-info/" not in name}
    assert packed == source, packed ^ source


async def client(program: str) -> None:
    """The installed program, by its absolute path: in the sandbox it lists its tools, reads and plans a change."""
    snapshots = {file.stem for file in (ROOT / "tests" / "snapshots").glob("*.json")}
    with tempfile.TemporaryDirectory() as state, anyio.fail_after(LIMIT_S):
        # Nothing of this checkout: a file missing in the wheel must be missed.
        server = StdioServerParameters(
            command=program,
            args=["--sandbox"],
            env={"PATH": os.environ["PATH"], "SCP_MCP_STATE_DIR": state},
            cwd=state,
        )
        async with Client(server) as session:
            listed = {tool.name for tool in (await session.list_tools()).tools}
            read = await session.call_tool("get_platform", {"release_id": DEPLOYED_RELEASE_ID})
            plan = await session.call_tool("delete_platform", {"release_id": DEPLOYED_RELEASE_ID, "dry_run": True})
    assert listed == snapshots, listed ^ snapshots
    assert not read.is_error, read
    assert not plan.is_error, plan
    print(f"{program}: {len(listed)} tools; a read and a dry run answered")  # noqa: T201 reason: its output


def sbom(file: Path) -> None:
    """The components are what the package needs, no more and no less, in the versions of constraints.txt."""
    bill: dict[str, Any] = json.loads(file.read_text("utf-8"))
    components = {_name(each["name"]): each["version"] for each in bill["components"]}
    assert components == pinned_needs(), components.items() ^ pinned_needs().items()
    assert str(ROOT) not in file.read_text("utf-8")
    print(f"{file}: {len(components)} components, all needed and pinned")  # noqa: T201 reason: its output


def pinned_needs() -> dict[str, str]:
    """What the package requires on this system, directly or not, and the version that constraints.txt pins."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    pins = {_name(name): number for name, number in (line.split("==") for line in lines)}
    found: dict[str, set[str]] = {}
    waiting = [Requirement(PACKAGE)]
    while waiting:
        requirement = waiting.pop()
        extras = {"", *requirement.extras}
        if extras <= found.setdefault(_name(requirement.name), set()):
            continue
        found[_name(requirement.name)] |= extras
        for each in map(Requirement, requires(requirement.name) or []):
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(each)
    return {name: pins[name] for name in found if name != PACKAGE}


def _name(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        wheel(next((ROOT / "dist").glob("*.whl")))
        anyio.run(client, str(Path(sys.argv[2]).absolute()))
    else:
        sbom(Path(sys.argv[2]))
