"""`scp-aimlops-mcp audit show|verify|export`: the audit log for a person, a script and a spreadsheet.

Knows the log only through `aimlops_server.audit`, and never writes to it. What the log holds is untrusted text:
it can neither steer a terminal nor become a formula.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO

from pydantic import JsonValue

from aimlops_server.audit import Line, Reader, Verdict, verify

EXIT_OK = 0
EXIT_BROKEN = 1
COLUMNS = ("seq", "time", "event", "plan_id", "facts", "prev", "torn", "hash")

# What makes a spreadsheet take a cell for a formula, https://owasp.org/www-community/attacks/CSV_Injection.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def show(directory: Path, out: TextIO, limit: int) -> int:
    """Write the newest `limit` lines, oldest first, and a warning if the log is broken. Returns the exit code.

    Raises:
        ConfigurationError: the log cannot be read.
    """
    _as_utf8(out)
    reader = Reader(directory)
    for found in deque(reader, maxlen=limit):
        out.write(f"{_row(found.line) if found.line else f'{found.place}: not a whole line'}\n")
    verdict = reader.verdict()
    if not verdict.ok or not verdict.lines:
        out.write(_in_words(directory, verdict))
    return _exit_code(verdict)


def verify_command(directory: Path, out: TextIO) -> int:
    """Check the chain and write what was found. Returns 0, or 1 if it is broken.

    Raises:
        ConfigurationError: the log cannot be read.
    """
    _as_utf8(out)
    verdict = verify(directory)
    out.write(_in_words(directory, verdict))
    return _exit_code(verdict)


def export(directory: Path, out: TextIO, format: Literal["csv", "json"] = "csv") -> int:  # noqa: A002 reason: its option's name
    """Write every whole line, oldest first, as UTF-8. Returns 0, or 1 if the log is broken.

    In JSON each item is the very line, so the chain can be checked in the export too. In CSV the facts are JSON in
    one cell, and a cell that a spreadsheet would take for a formula starts with an apostrophe.

    Raises:
        ConfigurationError: the log cannot be read.
    """
    _as_utf8(out)
    reader = Reader(directory)
    if format == "json":
        separator = "["
        for found in reader:
            if found.line:
                out.write(f"{separator}\n{found.raw.decode('utf-8')}")
                separator = ","
        out.write("\n]\n" if separator == "," else "[]\n")
    else:
        # All quoted: before Python 3.13 a carriage return alone would not be, and would start a row.
        table = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        table.writerow(COLUMNS)
        for found in reader:
            if found.line:
                table.writerow(_cells(found.line))
    return _exit_code(reader.verdict())


def _in_words(directory: Path, verdict: Verdict) -> str:
    torn = "".join(f"{place}: unfinished, as a crash leaves it; no tampering.\n" for place in verdict.torn)
    if verdict.broken:
        return (
            f"{torn}BROKEN at {verdict.broken.place}: {verdict.broken.reason}.\n"
            f"The {verdict.lines} lines before it are unbroken, up to hash {verdict.last_hash}.\n"
        )
    if not verdict.lines:
        return f"{torn}There are no lines in {directory}.\n"
    return f"{torn}The {verdict.lines} lines are unbroken, up to hash {verdict.last_hash}.\n"


def _exit_code(verdict: Verdict) -> int:
    return EXIT_OK if verdict.ok else EXIT_BROKEN


def _row(line: Line) -> str:
    return (
        f"{line.seq:>6}  {_visible(line.time)}  {_visible(line.event)}  {_visible(line.plan_id)}  {_facts(line.facts)}"
    )


def _cells(line: Line) -> list[str]:
    cells = (line.time, line.event, line.plan_id, _facts(line.facts), line.prev, line.torn or "", line.hash)
    return [str(line.seq), *(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)]


def _visible(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)


def _facts(facts: Mapping[str, JsonValue]) -> str:
    """As JSON, in its own letters unless something in it would not be seen."""
    text = json.dumps(facts, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(facts)


def _as_utf8(out: TextIO) -> None:
    # A Windows console or pipe has another code page by default.
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding="utf-8")
