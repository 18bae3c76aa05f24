"""Other people's clients play the guarded story against `scp-aimlops-mcp --sandbox`, over stdio and over HTTP.

Each client is a program that reads a story as JSON on stdin, {server, calls, answers}: where the server is, which tools
to call, and what a person answers to each question; answers null means that the client declares no elicitation. It
writes on stdout what it saw: {protocol, tools, results, asked}. That is judged here, the same for all of them, together
with the server's own audit log: whatever a client may say, nothing was sent when the log has no "started".
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME
from mcp_types import CallToolResult, ElicitRequestFormParams, TextContent
from pydantic import BaseModel

from tests.served import OVER_HTTP, SANDBOX, environment, served, settings

HERE = Path(__file__).parent
PEERS = HERE.parent / ".peers" / "clients"
MODULES = PEERS / "node_modules"
NODE = str(MODULES / "node" / "bin" / ("node.exe" if os.name == "nt" else "node"))
LIMIT_S = 120


@dataclass(frozen=True)
class Peer:
    """A client: its name, its program, and why it cannot answer a form if it cannot."""

    name: str
    command: tuple[str, ...]
    cannot_answer: str | None = None


class Report(BaseModel):
    """What a client saw."""

    protocol: str
    tools: list[str]
    results: list[CallToolResult]
    asked: list[ElicitRequestFormParams]


@dataclass(frozen=True)
class Session:
    """What a client saw, and what the server recorded of each plan."""

    report: Report
    record: list[list[str]]


DELETE: dict[str, Any] = {"name": "delete_platform", "arguments": {"release_id": DEPLOYED_RELEASE_ID}}
DRY_RUN: dict[str, Any] = {**DELETE, "arguments": {**DELETE["arguments"], "dry_run": True}}
READ: dict[str, Any] = {"name": "get_platform", "arguments": {"release_id": DEPLOYED_RELEASE_ID}}
WITH_A_PERSON: dict[str, Any] = {
    "calls": [DRY_RUN, DELETE, READ, DELETE, READ],
    "answers": [{"action": "decline"}, {"action": "accept", "content": {"release_name": DEPLOYED_RELEASE_NAME}}],
}
WITHOUT: dict[str, Any] = {"calls": [DELETE, READ], "answers": None}

STEPS = ("list", "dry run", "declined", "accepted", "no capability")
TRANSPORTS = ("stdio", "HTTP")
TOOLS = sorted(file.stem for file in (HERE.parent / "tests" / "snapshots").glob("*.json"))
HEADLINE = f'DELETE platform "{DEPLOYED_RELEASE_NAME}". It cannot be undone.'
# What of a refusal must reach the client.
DECLINED = ("delete_platform was not sent. The user declined.", "Changed: nothing was changed.")
NO_FORM = (
    "delete_platform was not sent. Plan ",
    "This client cannot show the user a form: it does not declare MCP form elicitation.",
    HEADLINE,
    "Changed: nothing was changed.",
)
WAITS = ["planned", "shown"]
SENT = ["planned", "shown", "approved", "started", "accepted", "read_back"]


def main() -> int:
    peers = _peers()
    reasons = [peer.cannot_answer for peer in peers if peer.cannot_answer]
    failures: list[str] = []
    _row("client", "transport", "protocol", STEPS)
    # As many at once as there are processors; the rows come in order.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (peer, transport), (protocol, problems) in zip(
            product(peers, TRANSPORTS), pool.map(_play, *zip(*product(peers, TRANSPORTS), strict=True)), strict=True
        ):
            _row(peer.name, transport, protocol, [_cell(peer, step, problems, reasons) for step in STEPS])
            failures += [f"{peer.name}, {transport}, {step}: {each}" for step in STEPS for each in problems[step]]
    for number, reason in enumerate(reasons, 1):
        _say(f"cannot ({number}): {reason} Checked instead: it is told so with the plan, and nothing is sent.")
    _say("\n".join(failures) or "All clients met what they should.")
    return 1 if failures else 0


def judge(asked: Session, silent: Session, *, answers_forms: bool) -> dict[str, list[str]]:
    """What is wrong with each step."""
    dry_run, declined, after_declined, accepted, after_accepted = asked.report.results
    refused, after_refused = silent.report.results
    plan = _data(dry_run).get("plan", {})
    problems = {
        "list": _wrong(
            tools=(sorted(asked.report.tools), TOOLS),
            tools_without_capability=(sorted(silent.report.tools), TOOLS),
        ),
        "dry run": _wrong(
            sent=(_data(dry_run).get("sent"), False),
            headline=(plan.get("headline"), HEADLINE),
            to_confirm=(plan.get("to_confirm"), "the user types: release_name"),
        ),
        "no capability": _wrong(
            **_refusal(refused, NO_FORM),
            asked=(_asked(silent), []),
            platform=(_state(after_refused), "DEPLOYED"),
            record=(silent.record, [WAITS]),
        ),
    }
    if not answers_forms:
        for step, result, after in (
            ("declined", declined, after_declined),
            ("accepted", accepted, after_accepted),
        ):
            problems[step] = _wrong(
                **_refusal(result, NO_FORM),
                asked=(_asked(asked), []),
                platform=(_state(after), "DEPLOYED"),
                record=(sorted({event for plan in asked.record for event in plan}), WAITS),
            )
        return problems
    form = (HEADLINE, {"release_name": "string"})
    problems["declined"] = _wrong(
        **_refusal(declined, DECLINED),
        asked=(_asked(asked)[:1], [form]),
        platform=(_state(after_declined), "DEPLOYED"),
        record=(asked.record[:1], [[*WAITS, "declined"]]),
    )
    problems["accepted"] = _wrong(
        sent=(_data(accepted).get("sent"), True),
        outcome=(_data(accepted).get("outcome"), "committed"),
        asked=(_asked(asked)[1:], [form]),
        platform_deleted=(_state(after_accepted) in {"DELETING", "gone"}, True),
        record=(asked.record[1:], [SENT]),
    )
    return problems


def _wrong(**facts: tuple[object, object]) -> list[str]:
    """Each fact that is not as expected."""
    return [f"{name} is {found!r}, not {expected!r}" for name, (found, expected) in facts.items() if found != expected]


def _refusal(result: CallToolResult, words: tuple[str, ...]) -> dict[str, tuple[object, object]]:
    missing = [each for each in words if each not in _text(result)]
    return {"is_error": (result.is_error, True), "missing": (missing, [])}


def _text(result: CallToolResult) -> str:
    return "\n".join(each.text for each in result.content if isinstance(each, TextContent))


def _data(result: CallToolResult) -> dict[str, Any]:
    return result.structured_content or {}


def _state(result: CallToolResult) -> str:
    """The platform's state as `get_platform` told it, or its error."""
    if "HTTP 404" in _text(result) and result.is_error:
        return "gone"
    return _data(result).get("release_state", _text(result))


def _asked(session: Session) -> list[tuple[str, dict[str, Any]]]:
    """Of each question, the first line and the fields with their types."""
    return [
        (
            form.message.partition("\n")[0],
            {name: field.get("type") for name, field in form.requested_schema["properties"].items()},
        )
        for form in session.report.asked
    ]


def _peers() -> list[Peer]:
    npm: dict[str, str] = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    inspector = f"Inspector {npm['@modelcontextprotocol/inspector']}"
    own = (sys.executable, "-m", "clients.inspector")
    typescript = (NODE, str(HERE / "typescript_sdk.cjs"))
    return [
        Peer(
            f"{inspector} --cli",
            (*own, "cli"),
            "it declares no elicitation, because it ends with the call and has nobody to ask.",
        ),
        Peer(f"{inspector} mcpdo", (*own, "mcpdo")),
        Peer(f"TypeScript SDK {npm['@modelcontextprotocol/sdk']}", (*typescript, "1")),
        Peer(f"TypeScript SDK {npm['@modelcontextprotocol/client']}", (*typescript, "2")),
        Peer(f"Python SDK {_pinned('python_sdk_1', 'mcp')}", _in_its_environment("python_sdk_1")),
        Peer(f"FastMCP {_pinned('fastmcp_client', 'fastmcp')}", _in_its_environment("fastmcp_client")),
    ]


def _pinned(program: str, package: str) -> str:
    lines = (HERE / f"{program}.txt").read_text("utf-8").splitlines()
    return next(line.removeprefix(f"{package}==") for line in lines if line.startswith(f"{package}=="))


def _in_its_environment(program: str) -> tuple[str, ...]:
    python = PEERS / program / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return str(python), str(HERE / f"{program}.py")


def _play(peer: Peer, transport: str) -> tuple[str, Mapping[str, list[str]]]:
    """The protocol that was spoken, and what is wrong with each step."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            asked = _session(peer, transport, WITH_A_PERSON, Path(folder) / "asked")
            silent = _session(peer, transport, WITHOUT, Path(folder) / "silent")
        return asked.report.protocol, judge(asked, silent, answers_forms=peer.cannot_answer is None)
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or ""
        return "?", {step: [f"{error}\n{told}"] if step == STEPS[0] else ["not reached"] for step in STEPS}


def _session(peer: Peer, transport: str, story: dict[str, Any], state_dir: Path) -> Session:
    with ExitStack() as stack:
        if transport == "HTTP":
            server: dict[str, Any] = {"url": stack.enter_context(served(OVER_HTTP, state_dir))}
        else:
            server = {"command": sys.executable, "args": list(SANDBOX), "env": settings(state_dir)}
        done = subprocess.run(
            peer.command,
            input=json.dumps({"server": server, **story}),
            env={**environment(state_dir), "NODE_PATH": str(MODULES)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=True,
        )
    plans: dict[str, list[str]] = {}
    for line in (state_dir / "sandbox" / "audit.jsonl").read_text("utf-8").splitlines():
        step = json.loads(line)
        plans.setdefault(step["plan_id"], []).append(step["event"])
    return Session(Report.model_validate_json(done.stdout), list(plans.values()))


def _cell(peer: Peer, step: str, problems: Mapping[str, list[str]], reasons: list[str]) -> str:
    if problems[step]:
        return "FAILED"
    if peer.cannot_answer and step in {"declined", "accepted"}:
        return f"cannot ({reasons.index(peer.cannot_answer) + 1})"
    return "ok"


def _row(name: str, transport: str, protocol: str, cells: tuple[str, ...] | list[str]) -> None:
    _say(f"{name:24}  {transport:9}  {protocol:10}  " + "  ".join(f"{cell:10}" for cell in cells).rstrip())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
