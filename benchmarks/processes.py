"""The processes of a benchmark: the upstream, and MCP servers that are driven over stdio as lines of JSON.

No SDK on this side: a client's own time would hide what is measured. Linux only: CPU time and memory come from /proc.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROTOCOL = "2025-11-25"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Command:
    """How one of the compared servers is started."""

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]


class Server:
    """One MCP server over stdio, past its handshake. `start_s` and `start_cpu_s` are up to its first tools/list.

    `tools` has the size of each tool in that.
    """

    def __init__(self, command: Command) -> None:
        self.name = command.name
        started_s = time.perf_counter()
        self._process = subprocess.Popen(
            command.words,
            env=command.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin  # noqa: S101 reason: tells the type
        assert self._process.stdout  # noqa: S101 reason: tells the type
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._number = 0
        capabilities: dict[str, Any] = {"elicitation": {"form": {}}}
        about = {"name": "bench", "version": "1"}
        self._ask("initialize", {"protocolVersion": PROTOCOL, "capabilities": capabilities, "clientInfo": about})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self._write("tools/list", {})
        line = self._stdout.readline()
        self.start_s = time.perf_counter() - started_s
        self.start_cpu_s = self.cpu_s()
        tools: list[dict[str, Any]] = json.loads(line)["result"]["tools"]
        self.tools = {tool["name"]: _size(tool) for tool in tools}

    def cpu_s(self) -> float:
        """The CPU time of the process so far, all threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def memory_kib(self) -> dict[str, int]:
        """What it holds now: resident, and resident with shared pages counted in parts."""
        text = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text("utf-8")
        return {name.lower(): int(re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[0]) for name in ("Rss", "Pss")}

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        answer: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """One call and its result; `answer` answers the question that comes in between."""
        self._write("tools/call", {"name": tool, "arguments": arguments})
        while True:
            message = self._read()
            if message.get("method") == "elicitation/create" and answer:
                self._send({"jsonrpc": "2.0", "id": message["id"], "result": answer(message["params"])})
            elif message.get("id") == self._number:
                return _result(message)

    def calls(self, count: int, in_flight: int, tool: str = "list_platforms") -> float:
        """Seconds for `count` calls, with so many of them under way at any time."""
        started_s = time.perf_counter()
        for _ in range(in_flight):
            self._write("tools/call", {"name": tool, "arguments": {}})
        for left in range(count - in_flight, -in_flight, -1):
            _result(self._read())
            if left > 0:
                self._write("tools/call", {"name": tool, "arguments": {}})
        return time.perf_counter() - started_s

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self._write(method, params)
        return _result(self._read())

    def _write(self, method: str, params: Mapping[str, Any]) -> None:
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._stdin.write(json.dumps(message).encode() + b"\n")
        self._stdin.flush()

    def _read(self) -> dict[str, Any]:
        line = self._stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        return json.loads(line)


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _result(message: dict[str, Any]) -> dict[str, Any]:
    if "result" not in message or message["result"].get("isError"):
        raise RuntimeError(f"a call failed: {json.dumps(message)[:500]}")
    return message["result"]


@contextmanager
def running(command: Command) -> Generator[Server]:
    server = Server(command)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def upstream(python: str, delay_ms: float) -> Generator[str]:
    """The address of a canned upstream that answers after this delay."""
    words = [python, "-m", "benchmarks.upstream", str(delay_ms)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout  # noqa: S101 reason: tells the type
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()
