"""Runs the official MCP conformance suite over HTTP, in every revision of the protocol that it knows, against this
project's server on its sandbox, and against the same server with the suite's own tools added (fixture_server.py).

A check that is not a success must be in exceptions.toml, and what is there must not be one.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.served import OVER_HTTP, served

HERE = Path(__file__).parent
MODULES = HERE.parent / ".peers" / "conformance" / "node_modules"
SERVERS = {"ours": OVER_HTTP, "fixtures": ("-m", "conformance.fixture_server")}
FINE = {"SUCCESS", "INFO"}
LIMIT_S = 300

Outcomes = dict[str, set[str]]


def main() -> int:
    exceptions = tomllib.loads((HERE / "exceptions.toml").read_text("utf-8"))
    everywhere = _ids(exceptions["everywhere"])
    listed = {"ours": everywhere | _ids(exceptions["ours"]), "fixtures": everywhere}
    scenarios = _scenarios()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for server, command in SERVERS.items():
            found: Outcomes = defaultdict(set)
            with served(command, Path(folder) / server) as url:
                for revision, wanted in scenarios.items():
                    checks, silent = _run(url, revision, wanted, Path(folder) / f"{server}-{revision}")
                    fine = sum(status in FINE for _, status in checks)
                    _say(
                        f"{server:8}  {revision}  {len(wanted):3} scenarios  {fine:3} of {len(checks):3} checks passed"
                    )
                    problems += [f"{server} {revision}: scenario {name} gave no result" for name in silent]
                    for check, status in checks:
                        found[check].add(status)
            problems += [f"{server}: {problem}" for problem in judge(found, listed[server])]
    for server, groups in exceptions.items():
        for group in groups:
            _say(f"not asked {server}: {len(group['checks']):2} checks. {group['reason']}")
    _say("\n".join(problems) or "All applicable checks passed.")
    return 1 if problems else 0


def judge(found: Outcomes, listed: set[str]) -> list[str]:
    """What is wrong: a check that failed and is not listed; a listed one that passed, or that never ran."""
    failed = [
        f"{check} is {'/'.join(sorted(statuses - FINE))}, and not listed"
        for check, statuses in found.items()
        if statuses - FINE and check not in listed
    ]
    passed = [f"{check} is listed, but passed" for check in listed & found.keys() if found[check] & FINE]
    never = [f"{check} is listed, but never ran" for check in listed - found.keys()]
    return sorted(failed + passed + never)


def _ids(groups: list[dict[str, Any]]) -> set[str]:
    return {check for group in groups for check in group["checks"]}


def _suite(*arguments: str) -> str:
    suite = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    done = subprocess.run(
        [MODULES / "node" / "bin" / ("node.exe" if os.name == "nt" else "node"), suite, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,  # it exits with 1 for any failure; which ones matter is judged here
    )
    return done.stdout


def _scenarios() -> dict[str, list[str]]:
    """The server scenarios of each dated revision, as the suite lists them. Its extensions belong to none."""
    revisions: dict[str, list[str]] = defaultdict(list)
    for name, dates in re.findall(r"^\s+- (\S+) \[([\d,-]+)\]$", _suite("list", "--server"), re.MULTILINE):
        for date in dates.split(","):
            revisions[date].append(name)
    if not revisions:
        raise RuntimeError("the suite lists no scenarios; remove .peers and run again")
    return dict(sorted(revisions.items()))


def _run(url: str, revision: str, wanted: list[str], folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """The id and the status of every check, and the scenarios that left none."""
    told = _suite("server", "--url", url, "--suite", "all", "--spec-version", revision, "--output-dir", str(folder))
    checks: list[tuple[str, str]] = []
    silent = set(wanted)
    for file in sorted(folder.glob("*/checks.json")):
        results = json.loads(file.read_text("utf-8"))
        if results:
            silent -= {re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", file.parent.name)}
        checks += [(result["id"], result["status"]) for result in results]
    if not checks:
        _say(told)
    return checks, sorted(silent)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
