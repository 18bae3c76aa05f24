"""Measures the server beside a minimal one and a proxy, interleaved in one run: make bench [ARGS="--rounds 3"].

Each figure is the median of the rounds. A ratio is taken within a round, where both met the same machine, and then the
median of the ratios; "A/A" is the same server twice, which shows what differs by chance.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aimlops_server.signing import Keys, sign
from aimlops_tools import OPERATIONS
from pydantic import SecretStr

from benchmarks.processes import Command, Server, running, upstream
from benchmarks.upstream import PLATFORMS, release_id, release_name

ROOT = Path(__file__).parent.parent
OPENAPI = ROOT / "docs" / "openapi.json"
PEER = ROOT / ".peers" / "clients" / "fastmcp_client" / "bin" / "python"
KEYS = Keys("bench-access-key", SecretStr("bench-secret-key"))
IN_FLIGHT = (1, 8, 32)
DELAY_MS = 20
CALLS = 96  # in a round: a multiple of each number in flight
WARM_UP_CALLS = 500
MEMORY_CALLS = 10_000
OURS, AGAIN, MINIMAL, PROXY, BARE = "ours", "ours again", "minimal SDK tool", "FastMCP proxy", "bare httpx2 call"
# With a ledger of its own from before, which it looks through: the guard is part of that start.
AFTER_A_CHANGE = "ours after a change"

Figures = dict[str, Any]
Rounds = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="how often each is started and called (default 40)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results.json", help="where the figures go")
    parser.add_argument("--only", choices=MEASURED, action="append", help="not all of them; may be repeated")
    options = parser.parse_args()
    figures: Figures = {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "mcp": version("mcp"),
            "load": os.getloadavg()[0],
        }
    }
    _say(", ".join(f"{name} {value}" for name, value in figures["machine"].items()))
    with tempfile.TemporaryDirectory() as folder, upstream(sys.executable, 0) as url:
        commands = _commands(url, Path(folder))
        for name in options.only or MEASURED:
            figures[name] = MEASURED[name](commands, options.rounds)
    options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    _say(f"\nwritten to {options.json}")
    return 0


def _commands(url: str, folder: Path) -> dict[str, Command]:
    """The compared servers, without this machine's settings."""
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith(("SCP_", "FASTMCP_"))}
    environment = {
        **own,
        "HOME": str(folder),
        "SCP_ENDPOINT": url,
        "SCP_ACCESS_KEY": KEYS.access_key,
        "SCP_SECRET_KEY": KEYS.secret_key.get_secret_value(),
        "SCP_MCP_STATE_DIR": str(folder / "state"),
    }
    python = sys.executable
    # The peers' environment has no package of ours; the signature is one of the files that need none.
    peer = {**environment, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "server")))}
    return {
        OURS: Command(OURS, (python, "-m", "aimlops_server"), environment),
        MINIMAL: Command(MINIMAL, (python, "-m", "benchmarks.minimal"), environment),
        PROXY: Command(PROXY, (str(PEER), "-m", "benchmarks.proxy", str(OPENAPI)), peer),
    }


def _turns(names: list[str], rounds: int) -> Iterator[list[str]]:
    """An order for each round, so that nobody always comes after the same other one."""
    for number in range(rounds):
        at = number % len(names)
        turn = names[at:] + names[:at]
        yield turn if number // len(names) % 2 == 0 else turn[::-1]


def cold_start(commands: Mapping[str, Command], rounds: int) -> Figures:
    """From the start of the process to its first answer to tools/list, over stdio; and the first call after that."""
    for command in commands.values():
        with running(command):
            pass  # writes the bytecode
    ours = commands[OURS]
    started = {
        **commands,
        AGAIN: ours,
        AFTER_A_CHANGE: _with(ours, SCP_MCP_STATE_DIR=f"{ours.environment['SCP_MCP_STATE_DIR']}-used"),
    }
    with running(started[AFTER_A_CHANGE]) as server:
        _delete(server, release_id(0), {})
    wall: Rounds = defaultdict(list)
    cpu: Rounds = defaultdict(list)
    first: Rounds = defaultdict(list)
    listed: dict[str, dict[str, int]] = {}
    for turn in _turns(list(started), rounds):
        for name in turn:
            with running(started[name]) as server:
                wall[name].append(server.start_s * 1000)
                cpu[name].append(server.start_cpu_s * 1000)
                first[name].append(server.calls(1, 1) * 1000)
                listed[name] = server.tools
    _say("\ncold start to the first tools/list")
    figures = {"wall ms": _compare(wall, "ms"), "cpu ms": _compare(cpu, "ms CPU")}
    _say("\nthe first call after it")
    figures["first call ms"] = _compare(first, "ms")
    for name, tools in listed.items():
        twelve = sum(size for tool, size in tools.items() if tool in OPERATIONS)
        _say(f"  {name:20}{len(tools):3} tools of {sum(tools.values()):,} bytes, the operations {twelve:,}")
    return {**figures, "tools": listed}


def _with(command: Command, **values: str) -> Command:
    """The same in another environment."""
    return Command(command.name, command.words, {**command.environment, **values})


def calls(commands: Mapping[str, Command], rounds: int) -> Figures:
    """list_platforms against an upstream that answers at once, with 1, 8 and 32 calls in flight."""
    figures: Figures = {}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(command)) for name, command in commands.items()}
        servers[AGAIN] = stack.enter_context(running(commands[OURS]))
        bare = stack.enter_context(_Bare(commands[OURS].environment))
        for server in servers.values():
            server.calls(WARM_UP_CALLS, 8)
        for in_flight in IN_FLIGHT:
            wall: Rounds = defaultdict(list)
            cpu: Rounds = defaultdict(list)
            for turn in _turns([*servers, BARE], rounds):
                for name in turn:
                    server = servers.get(name, bare)
                    before_s = server.cpu_s()
                    wall[name].append(server.calls(CALLS, in_flight) / CALLS * 1000)
                    cpu[name].append((server.cpu_s() - before_s) / CALLS * 1000)
            _say(f"\nlist_platforms, {in_flight} in flight")
            figures[f"{in_flight} in flight"] = {
                "wall ms": _compare(wall, "ms a call", per_s=True),
                "cpu ms": _compare(cpu, "ms CPU a call"),
            }
    return figures


class _Bare:
    """The same call without MCP, in this process: what the network and httpx2 cost."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        os.environ |= {name: value for name, value in environment.items() if name.startswith("SCP_")}
        from benchmarks.signed import client  # reads the environment

        self._runner = asyncio.Runner()
        self._http = client()

    def __enter__(self) -> "_Bare":
        self.calls(WARM_UP_CALLS, 8)
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

    def cpu_s(self) -> float:
        return time.process_time()

    def calls(self, count: int, in_flight: int) -> float:
        async def some(number: int) -> None:
            for _ in range(number):
                answer = await self._http.get(PLATFORMS, params={"size": 20, "page": 0})
                answer.raise_for_status().json()

        async def everyone() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(some(count // in_flight))

        started_s = time.perf_counter()
        self._runner.run(everyone())
        return time.perf_counter() - started_s


def memory(commands: Mapping[str, Command], _: int) -> Figures:
    """What a server holds after its start, after its first calls and after many."""
    figures: Figures = {}
    _say(f"\nmemory, KiB: at the start, after {WARM_UP_CALLS} calls, after {MEMORY_CALLS:,} more")
    for name, command in commands.items():
        with running(command) as server:
            start = server.memory_kib()
            server.calls(WARM_UP_CALLS, 8)
            warm = server.memory_kib()
            server.calls(MEMORY_CALLS, 8)
            end = server.memory_kib()
        figures[name] = {"start": start, "warm": warm, "end": end}
        _say(
            f"  {name:20}"
            + "".join(f"  {kind} {start[kind]:>7,} {warm[kind]:>7,} {end[kind]:>7,}" for kind in ("rss", "pss"))
            + f"  grew by {end['rss'] - warm['rss']:,}"
        )
    return figures


def guarded_delete(commands: Mapping[str, Command], _: int) -> Figures:
    """A delete from call to result, a person's answer taking no time; the upstream answers after DELAY_MS."""
    figures: Figures = {}
    _say(f"\nguarded delete, upstream answering after {DELAY_MS} ms")
    for number, arguments in enumerate(({}, {"with_k8s": True})):
        with (
            upstream(sys.executable, DELAY_MS) as url,
            running(_with(commands[OURS], SCP_ENDPOINT=url)) as server,
        ):
            server.calls(8, 1)
            took_ms: list[float] = []
            for of in (release_id(1000 * (number + 1) + n) for n in range(20)):
                _requests(url)
                started_s = time.perf_counter()
                _delete(server, of, arguments)
                took_ms.append((time.perf_counter() - started_s) * 1000)
            seen = _requests(url)
        in_sequence = _in_sequence([(came, went) for _, came, went in seen])
        what = "with_k8s" if arguments else "platform alone"
        own_ms = statistics.median(took_ms) - in_sequence * DELAY_MS
        figures[what] = {
            "ms": statistics.median(took_ms),
            "requests": [request for request, _, _ in seen],
            "in sequence": in_sequence,
            "ms beside the waits": own_ms,
            "ms of the first": took_ms[0],
        }
        _say(
            f"  {what:20}  {statistics.median(took_ms):6.1f} ms, {len(seen)} requests, {in_sequence} round trips in "
            f"sequence, {own_ms:.1f} ms beside their waits; the first took {took_ms[0]:.1f} ms"
        )
    return figures


def _delete(server: Server, of: str, arguments: Mapping[str, Any]) -> None:
    typed = {"release_name": release_name(of), "cluster_name": "cluster-vision"}

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        fields = question["requestedSchema"]["properties"]
        return {"action": "accept", "content": {name: typed[name] for name in fields}}

    result = server.call("delete_platform", {"release_id": of, **arguments}, answer)
    if not result["structuredContent"]["sent"]:
        raise RuntimeError(f"the delete was not sent: {result}")


def _requests(url: str) -> list[tuple[str, float, float]]:
    import httpx2

    return httpx2.get(f"{url}/_requests", trust_env=False).json()


def _in_sequence(spans: list[tuple[float, float]]) -> int:
    """The longest row of requests of which each began when the one before had ended."""
    row, free_from_s = 0, 0.0
    for came_s, went_s in sorted(spans, key=lambda span: span[1]):
        if came_s >= free_from_s:
            row, free_from_s = row + 1, went_s
    return row


def signing(_: Mapping[str, Command], __: int) -> Figures:
    """The pure function alone."""
    url = f"https://aimlops-platform.kr-west1.e.samsungsdscloud.com{PLATFORMS}?size=20&page=0"
    number = 20_000
    us = [s / number * 1e6 for s in timeit.repeat(lambda: sign(KEYS, "GET", url, 1_790_000_000_000), number=number)]
    _say(f"\nsigning alone: {min(us):.1f} us")
    return {"us": min(us)}


MEASURED: dict[str, Callable[[Mapping[str, Command], int], Figures]] = {
    "cold-start": cold_start,
    "calls": calls,
    "memory": memory,
    "guarded-delete": guarded_delete,
    "signing": signing,
}


def _compare(rounds: Rounds, unit: str, *, per_s: bool = False) -> Figures:
    """The median of each, and of the ratios of ours to it, with their middle half."""
    figures: Figures = {}
    for name, values in rounds.items():
        median = statistics.median(values)
        figures[name] = {"median": median}
        line = f"  {name:20}{median:9.2f} {unit}"
        if per_s:
            figures[name]["per s"] = 1000 / median
            line += f" {1000 / median:7.0f}/s"
        if name != OURS:
            ratios = [own / other for own, other in zip(rounds[OURS], values, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            figures[name]["ours to it"] = {"median": middle, "middle half": [low, high]}
            line += f"   ours to it {middle:5.3f} ({low:.3f} to {high:.3f})"
            line += " A/A" if name == AGAIN else ""
        _say(line)
    return figures


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
