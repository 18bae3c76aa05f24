"""The approval page's twin for a terminal: where there is no browser, over SSH and in containers.

Speaks to the controlling terminal and never to stdin or stdout, so that nothing but a person at a keyboard answers.
"""

import json
import select
import sys
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import TextIO

import anyio.to_thread

from aimlops_server.audit import AuditFailed
from aimlops_server.errors import NotSent
from aimlops_server.guard.desk import Desk
from aimlops_server.guard.ledger import Entry, Ledger, Status
from aimlops_server.guard.plan import Plan
from aimlops_server.guard.question import LABELS
from aimlops_server.wording import Wording

APPROVED = 0
NOT_APPROVED = 1
MAX_TRIES = 3
_LOOK_AGAIN_S = 0.05
# Printable by their category, yet drawn as nothing: a joiner, Hangul fillers, the blank Braille pattern.
_BLANK = frozenset("\u034f\u115f\u1160\u3164\uffa0\u2800")


class _NoAnswer(Exception):  # reason: never leaves this module
    """The terminal was closed, or its user ended the input."""


def harmless(text: str) -> str:
    """A text from anywhere as one line of visible characters: what cannot be seen is escaped, never obeyed."""
    return "".join(
        character
        if character.isprintable() and character not in _BLANK and not _is_selector(character)
        else character.encode("unicode_escape").decode()
        for character in text
    )


def _is_selector(character: str) -> bool:
    return "VARIATION SELECTOR" in unicodedata.name(character, "")


def pretty(body: Mapping[str, object]) -> str:
    """A body as indented JSON, harmless line by line."""
    return "\n".join(harmless(line) for line in json.dumps(body, indent=2, ensure_ascii=False).split("\n"))


def local_time(unix_s: float) -> str:
    """A time as the people at this machine write it, with its distance from UTC."""
    iso = datetime.fromtimestamp(unix_s).astimezone().isoformat(" ", "seconds")
    return f"{iso[:-6]} UTC{iso[-6:]}"


def open_controlling_terminal() -> tuple[TextIO, TextIO]:
    """A reader and a writer of the terminal that this process belongs to.

    Raises:
        OSError: there is none.
    """
    names = ("CONIN$", "CONOUT$") if sys.platform == "win32" else ("/dev/tty", "/dev/tty")
    with ExitStack() as opened:
        reader = opened.enter_context(open(names[0], encoding="utf-8", errors="replace"))
        writer = opened.enter_context(open(names[1], "w", encoding="utf-8", errors="backslashreplace"))
        opened.pop_all()
    return reader, writer


async def approve_in_terminal(
    ledger: Ledger,
    desk: Desk,
    plan_id: str | None,
    clock_s: Callable[[], float],
    *,
    open_terminal: Callable[[], tuple[TextIO, TextIO]] = open_controlling_terminal,
) -> int:
    """Show a waiting plan on the terminal and take the decision; without an id, ask which. Returns the exit code.

    Raises:
        NotSent: the ledger cannot be used.
    """
    try:
        reader, writer = open_terminal()
    except OSError:
        sys.stderr.write(
            "scp-aimlops-mcp: there is no terminal to ask a person on, so nothing was decided; run this in an "
            "interactive session (ssh -t, docker exec -it), or use the approval page\n"
        )
        return NOT_APPROVED
    with reader, writer:
        talk = _Talk(reader, writer)
        try:
            return await _decide(ledger, desk, plan_id, clock_s, talk)
        except _NoAnswer:
            return NOT_APPROVED


class _Talk:
    """Lines to and from a terminal; each wait ends when its caller is cancelled."""

    def __init__(self, reader: TextIO, writer: TextIO) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, *lines: str) -> None:
        await self._write("".join(f"{line}\n" for line in lines))

    async def ask(self, prompt: str) -> str:
        """One line, without its end.

        Raises:
            _NoAnswer: there is none.
        """
        await self._write(prompt)
        try:
            # A thread that blocked in readline would keep an interrupted process alive until someone pressed Enter. And
            # a loop that sleeps without end would miss a Ctrl-C that came just before: Python looks for one when the
            # loop wakes. A terminal hands out one line per read, so none can hide in the reader's buffer. select knows
            # no Windows console.
            if sys.platform != "win32":
                while not select.select([self._reader], [], [], 0)[0]:  # noqa: ASYNC110 reason: a terminal sets no event
                    await anyio.sleep(_LOOK_AGAIN_S)
            line = await anyio.to_thread.run_sync(self._reader.readline, abandon_on_cancel=True)
        except (OSError, ValueError):
            raise _NoAnswer from None
        if not line.endswith("\n"):  # Ctrl-D: half a line is not an answer
            await self.say("", "No answer; the plan goes on waiting.")
            raise _NoAnswer
        return line.rstrip("\r\n")

    async def _write(self, text: str) -> None:
        def write() -> None:
            self._writer.write(text)
            self._writer.flush()

        try:
            await anyio.to_thread.run_sync(write, abandon_on_cancel=True)
        except (OSError, ValueError):
            raise _NoAnswer from None


async def _decide(ledger: Ledger, desk: Desk, plan_id: str | None, clock_s: Callable[[], float], talk: _Talk) -> int:
    plan_id = plan_id or await _choose(ledger, clock_s, talk)
    if plan_id is None:
        return NOT_APPROVED
    entry = await ledger.get(plan_id)
    if entry is None:
        await talk.say(f"There is no plan {harmless(plan_id)}.")
        return NOT_APPROVED
    if (status := entry.status_at(clock_s())) is not Status.WAITING:
        await talk.say(f"Plan {harmless(entry.id)} does not wait for a decision: it is {status}.")
        return NOT_APPROVED
    plan = Plan.from_json(entry.shown)
    await talk.say(*_shown(entry, plan, clock_s()))
    if plan.asks_password:
        await talk.say(
            "This plan needs the first user's password. One typed here cannot reach the server's own process, so it",
            "cannot be approved here: use the approval page, or have the assistant call again with a reference to the",
            "password, env:SCP_MCP_SECRET_<NAME> or file:<name>. The plan goes on waiting.",
        )
        return NOT_APPROVED
    answer = (await talk.ask("Type approve or deny (Enter alone decides nothing): ")).strip().casefold()
    if answer == "deny":
        return await _deny(desk, entry, talk)
    if answer != "approve":
        await talk.say("Nothing was decided; the plan goes on waiting.")
        return NOT_APPROVED
    return await _approve(ledger, desk, entry, plan, talk)


async def _choose(ledger: Ledger, clock_s: Callable[[], float], talk: _Talk) -> str | None:
    now_s = clock_s()
    waiting = [entry for entry in await ledger.latest() if entry.status_at(now_s) is Status.WAITING]
    if not waiting:
        await talk.say("No plan is waiting.")
        return None
    await talk.say("Waiting plans, newest first:", "")
    for number, entry in enumerate(waiting, 1):
        await talk.say(
            f"{number:3}. {harmless(entry.id)}  {_age(now_s - entry.created_s)} old",
            f"     {harmless(str(entry.plan['headline']))}",
        )
    answer = (await talk.ask("\nWhich one? Its number or id (Enter alone: none): ")).strip()
    if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(waiting):
        return waiting[int(answer) - 1].id
    if any(entry.id == answer for entry in waiting):
        return answer
    await talk.say(f"{harmless(answer)} is none of them; nothing was decided." if answer else "Nothing was decided.")
    return None


async def _approve(ledger: Ledger, desk: Desk, entry: Entry, plan: Plan, talk: _Talk) -> int:
    for _ in range(MAX_TRIES):
        typed = {field: await talk.ask(f"Type {LABELS[field]}: ") for field in plan.typed}
        try:
            await desk.approve(entry, typed, by="terminal")
        except NotSent as error:
            await talk.say(f"Not approved. {error.happened}")
            if isinstance(error, AuditFailed) or not await ledger.waits(entry.id):
                return NOT_APPROVED
        else:
            await talk.say("Approved. The assistant goes on by itself; if it has stopped, ask it to call again.")
            return APPROVED
    await talk.say("Too many wrong tries. Nothing was decided; the plan goes on waiting.")
    return NOT_APPROVED


async def _deny(desk: Desk, entry: Entry, talk: _Talk) -> int:
    try:
        await desk.deny(entry, by="terminal")
    except NotSent as error:
        await talk.say(f"Not denied. {error.happened}")
    else:
        await talk.say("Denied. Nothing was sent.")
    return NOT_APPROVED


def _shown(entry: Entry, plan: Plan, now_s: float) -> list[str]:
    """All that the page shows, in its order."""
    where = plan.where
    lines = ["", plan.headline, "", "Where"]
    lines += [f"  region       {where.region}", f"  environment  {where.environment}"]
    lines += [
        f"  account      {where.account}",
        f"  endpoint     {where.endpoint}",
        f"  API version  {where.api_version}",
    ]
    lines += ["What is lost", *[f"  - {line}" for line in plan.lost or ("no loss is known",)]]
    lines += [
        "Present state",
        *[f"  {name}: {value}" for name, value in plan.live.items() or {"-": "nothing yet"}.items()],
    ]
    lines += ["Checks", *[f"  {check.line(Wording(plan.language))}" for check in plan.checks]]
    lines += [] if plan.checks else ["  none"]
    lines += ["Exact request", f"  {plan.method} {plan.url}"]
    lines = [harmless(line) for line in lines]
    lines += ["  " + line for line in (pretty(plan.body) if plan.body is not None else "no body").split("\n")]
    if plan.undo is not None:
        lines += ["How it can be taken back", *["  " + line for line in pretty(plan.undo).split("\n")]]
    lines += ["Who asks", f"  {harmless(plan.asker or entry.asker or 'not told')}"]
    lines += ["Until when", f"  {local_time(entry.expires_s)} ({_age(entry.expires_s - now_s)} from now)", ""]
    return lines


def _age(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
