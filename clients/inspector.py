"""Plays a story (see run.py) with one of the MCP Inspector's two command lines.

`cli` starts a process for each call, so over stdio each call meets a server, and a sandbox, of its own. `mcpdo` keeps
the connection in a daemon; it returns the server's question, which a second command answers.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# mcpdo's exit code for a tool's result that is an error.
FINE = {0, 5}
LIMIT_S = 60

Json = dict[str, Any]
Run = Callable[..., Json]


def main(which: str) -> None:
    story = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as home:
        # The Inspector's catalog and its daemon's socket, away from those of the person who runs this.
        os.environ |= {"HOME": home, "USERPROFILE": home, "TMPDIR": home}
        report = {"cli": cli, "mcpdo": mcpdo}[which](**story)
    sys.stdout.write(json.dumps(report))


def cli(server: Json, calls: list[Json], answers: list[Json] | None) -> Json:
    """It has no way to take the answers: it declares no elicitation."""

    def call(method: str, *arguments: str) -> Json:
        # The era is named because the result does not tell it.
        options = ("--format", "json", "--protocol-era", "legacy", "--method", method, *arguments)
        return json.loads(_inspector("launcher/build/index.js", "--cli", *options, *_target(server)))["result"]

    tools = [tool["name"] for tool in call("tools/list")["tools"]]
    results = [call("tools/call", "--tool-name", each["name"], *_arguments(each)) for each in calls]
    return {"protocol": "handshake", "tools": tools, "results": results, "asked": []}


def mcpdo(server: Json, calls: list[Json], answers: list[Json] | None) -> Json:
    def run(*arguments: str) -> Json:
        return json.loads(_inspector("mcpdo/build/mcp-bin.js", "--format", "json", *arguments))

    exports = _inspector("mcpdo/build/mcp-bin.js", "private")
    os.environ |= dict(re.findall(r"^export (\w+)='(.*)'$", exports, re.MULTILINE))
    try:
        elicit = "form" if answers is not None else "off"
        name = run("connect", "--era", "auto", "--elicit", elicit, *_target(server))["name"]
        on = ("--connection", name)
        shown = run(*on, "connections/show")
        tools = [tool["name"] for tool in run(*on, "tools/list")["tools"]]
        asked: list[Json] = []
        results: list[Json] = []
        for call in calls:
            result = run(*on, "tools/call", call["name"], *_arguments(call))
            if question := result.get("elicitationPending"):
                answer = (answers or [])[len(asked)]
                asked.append({"message": question["message"], "requestedSchema": question["requestedSchema"]})
                said = "--decline" if answer["action"] == "decline" else json.dumps(answer["content"])
                result = run("elicitation/respond", question["elicitationId"], said)
            results.append(result)
    finally:
        run("daemon", "stop")
    return {"protocol": shown["protocolVersion"], "tools": tools, "results": results, "asked": asked}


def _arguments(call: Json) -> tuple[str, str]:
    return "--tool-args-json", json.dumps(call["arguments"])


def _target(server: Json) -> list[str]:
    if "url" in server:
        return ["--transport", "http", server["url"]]
    settings = [each for name, value in server["env"].items() for each in ("-e", f"{name}={value}")]
    return [*settings, "--", server["command"], *server["args"]]


def _inspector(program: str, *arguments: str) -> str:
    modules = Path(os.environ["NODE_PATH"])
    node = modules / "node" / "bin" / ("node.exe" if os.name == "nt" else "node")
    done = subprocess.run(
        [node, modules / "@modelcontextprotocol" / "inspector" / "clients" / program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode not in FINE:
        raise RuntimeError(f"{program} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1])
