"""Deciding in a terminal: a person at a real pseudo-terminal on one side, the desk on the other."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import anyio
import anyio.to_thread
import pytest
from aimlops_server.guard.desk import Desk
from aimlops_server.guard.ledger import Ledger, Status
from aimlops_server.guard.plan import Check, Finding, Where
from aimlops_server.guard.terminal import MAX_TRIES, approve_in_terminal, harmless

from tests.test_approval_page import TTL_S, creation, deletion, entry_of
from tests.world import ENDPOINT, Clock, make_desk

pytestmark = pytest.mark.anyio
needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in Python")

LIMIT_S = 60
CHOICE = "(Enter alone decides nothing): "
PLATFORM = "Type the platform's exact name: "
CLUSTER = "Type the cluster's exact name: "
WHICH = "(Enter alone: none): "

# Takes the terminal given as its controlling one, as a login shell does, and decides there.
CHILD = """
import fcntl, os, sys, termios, anyio
from pathlib import Path
from aimlops_server.audit import AuditLog
from aimlops_server.guard.desk import Desk
from aimlops_server.guard.ledger import Ledger
from aimlops_server.guard.terminal import approve_in_terminal
from aimlops_server.vault import Vault

state, now_s, terminal = sys.argv[1:]
if terminal:
    fcntl.ioctl(os.open(terminal, os.O_RDWR), termios.TIOCSCTTY, 0)

def clock_s():
    return float(now_s)

async def run():
    ledger = Ledger(Path(state), clock_s)
    try:
        desk = Desk(ledger, Vault({}, None), AuditLog(Path(state) / "audit.jsonl", clock_s))
        return await approve_in_terminal(ledger, desk, "plan-1", clock_s)
    finally:
        await ledger.aclose()

try:
    sys.exit(anyio.run(run))
except KeyboardInterrupt:
    sys.exit(130)
"""


@dataclass
class Person:
    """Reads the screen and types."""

    master: int
    seen: str = ""
    read: int = 0

    async def when(self, shown: str, line: str) -> None:
        """Wait until a text is shown, after what was answered last, then type."""
        while shown not in self.seen[self.read :]:
            await anyio.wait_readable(self.master)
            self.seen += os.read(self.master, 65536).decode().replace("\r\n", "\n")
        self.read = len(self.seen)
        os.write(self.master, line.encode())

    def look(self) -> str:
        """All that was shown by now."""
        os.set_blocking(self.master, False)
        while True:
            try:
                more = os.read(self.master, 65536)
            except OSError:  # nothing more now, or never again
                return self.seen
            if not more:
                return self.seen
            self.seen += more.decode().replace("\r\n", "\n")


@dataclass
class Room:
    """A ledger, its desk, and a terminal."""

    clock: Clock
    ledger: Ledger
    desk: Desk
    person: Person
    slave: int

    def open_terminal(self) -> tuple[TextIO, TextIO]:
        return open(os.dup(self.slave)), open(os.dup(self.slave), "w")

    async def decide(self, plan_id: str | None, *answers: tuple[str, str]) -> tuple[int, str]:
        """The exit code and the screen after a person gave answers to what was shown."""
        codes: list[int] = []

        async def run() -> None:
            terminal = self.open_terminal
            codes.append(await approve_in_terminal(self.ledger, self.desk, plan_id, self.clock, open_terminal=terminal))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            for shown, line in answers:
                await self.person.when(shown, line)
        return codes[0], self.person.look()

    async def status(self, plan_id: str = "plan-1") -> tuple[Status, str | None]:
        entry = await self.ledger.get(plan_id)
        assert entry is not None
        return entry.status_at(self.clock()), entry.decided_by


@asynccontextmanager
async def room(directory: Path, clock: Clock) -> AsyncGenerator[Room]:
    ledger = Ledger(directory, clock)
    master, slave = os.openpty()
    try:
        with anyio.fail_after(LIMIT_S):
            yield Room(
                clock,
                ledger,
                make_desk(ledger, directory, clock),
                Person(master),
                slave,
            )
    finally:
        os.close(slave)
        os.close(master)
        await ledger.aclose()


@needs_pty
async def test_the_exact_names_approve(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(deletion(), "plan-1", clock()))

        answers = (CHOICE, "approve\n"), (PLATFORM, "team-a\n"), (CLUSTER, "prod-cluster\n")
        code, screen = await at.decide("plan-1", *answers)

        assert (code, await at.status()) == (0, (Status.APPROVED, "terminal"))
        assert "Approved. The assistant goes on by itself" in screen


@needs_pty
async def test_everything_of_a_plan_is_shown(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        plan = creation(lost=("something",), live={"state": "DEPLOYED"}, undo={"tool": "delete_platform"})
        await at.ledger.add(entry_of(plan, "plan-1", clock()))

        _, screen = await at.decide("plan-1", (CHOICE, "\n"))

        shown = screen[: screen.index("  20")] + screen[screen.index(" (10 min") :]  # but for the local time
        assert shown == (
            '\nCREATE Enterprise platform "new" on a new cluster.\n'
            "\n"
            "Where\n"
            "  region       kr-west1\n"
            "  environment  e\n"
            "  account      account-1\n"
            f"  endpoint     {ENDPOINT}\n"
            "  API version  1.2\n"
            "What is lost\n"
            "  - something\n"
            "Present state\n"
            "  state: DEPLOYED\n"
            "Checks\n"
            "  name: pass – it is free\n"
            "  image: fail (inferred) – its type is a guess → list_images\n"
            "  version: could not check – not told by the API\n"
            "Exact request\n"
            f"  POST {ENDPOINT}/v1/aimlops-platform\n"
            "  {\n"
            '    "release_name": "new",\n'
            '    "initial_user_password": "<typed on the page>"\n'
            "  }\n"
            "How it can be taken back\n"
            "  {\n"
            '    "tool": "delete_platform"\n'
            "  }\n"
            "Who asks\n"
            "  some-client 1.0\n"
            "Until when\n"
            " (10 min 0 s from now)\n"
            "\n"
            "Type approve or deny (Enter alone decides nothing): \n"
            "Nothing was decided; the plan goes on waiting.\n"
        )


@needs_pty
async def test_a_change_without_names_needs_the_whole_word(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))

        for answer in ("y", "yes", "a", ""):
            code, _ = await at.decide("plan-1", (CHOICE, f"{answer}\n"))
            assert (code, await at.status()) == (1, (Status.WAITING, None))

        code, _ = await at.decide("plan-1", (CHOICE, "approve\n"))
        assert (code, await at.status()) == (0, (Status.APPROVED, "terminal"))


@needs_pty
async def test_a_wrong_name_can_be_typed_again(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(deletion(typed={"release_name": "team-a"}), "plan-1", clock()))

        code, screen = await at.decide("plan-1", (CHOICE, "approve\n"), (PLATFORM, "team-b\n"), (PLATFORM, "team-a\n"))

        assert (code, await at.status()) == (0, (Status.APPROVED, "terminal"))
        assert "Not approved. release_name does not match." in screen


@needs_pty
async def test_wrong_names_leave_the_plan_waiting(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(deletion(typed={"release_name": "team-a"}), "plan-1", clock()))

        code, screen = await at.decide("plan-1", (CHOICE, "approve\n"), *[(PLATFORM, "team-b\n")] * MAX_TRIES)

        assert (code, await at.status()) == (1, (Status.WAITING, None))
        assert screen.endswith("Too many wrong tries. Nothing was decided; the plan goes on waiting.\n")


@needs_pty
async def test_a_yes_that_cannot_be_recorded_is_told_and_does_not_count(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))
        (tmp_path / "audit.jsonl").mkdir()

        code, screen = await at.decide("plan-1", (CHOICE, "approve\n"))

        assert (code, await at.status()) == (1, (Status.WAITING, None))
        assert screen.count("Not approved. The change could not be recorded in ") == 1


@needs_pty
async def test_a_denied_plan_is_denied(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(deletion(), "plan-1", clock()))

        code, screen = await at.decide("plan-1", (CHOICE, "deny\n"))

        assert (code, await at.status()) == (1, (Status.DENIED, "terminal"))
        assert screen.endswith("Denied. Nothing was sent.\n")


@needs_pty
@pytest.mark.parametrize("word", ["approve", "deny"])
async def test_a_decision_that_comes_too_late_is_told(tmp_path: Path, clock: Clock, word: str) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))
        person = at.person
        codes: list[tuple[int, str]] = []

        async def decide() -> None:
            codes.append(await at.decide("plan-1"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide)
            await person.when(CHOICE, "")
            clock.now_s += TTL_S
            await person.when("", f"{word}\n")

        ((code, screen),) = codes
        assert (code, await at.status()) == (1, (Status.EXPIRED, None))
        assert "This plan was decided already, or has expired." in screen


@needs_pty
@pytest.mark.parametrize("answer", ["2", "older"])
async def test_a_waiting_plan_is_chosen_from_a_list(tmp_path: Path, clock: Clock, answer: str) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(headline="EXPIRED"), "gone", clock() - TTL_S))
        await at.ledger.add(entry_of(creation(headline="OLDER"), "older", clock() - 75))
        await at.ledger.add(entry_of(creation(headline="NEWER"), "newer", clock()))

        code, screen = await at.decide(None, (WHICH, f"{answer}\n"), (CHOICE, "deny\n"))

        assert (code, await at.status("older"), await at.status("newer")) == (
            1,
            (Status.DENIED, "terminal"),
            (Status.WAITING, None),
        )
        assert screen.startswith(
            "Waiting plans, newest first:\n\n"
            "  1. newer  0 min 0 s old\n     NEWER\n"
            "  2. older  1 min 15 s old\n     OLDER\n"
        )


@needs_pty
@pytest.mark.parametrize("answer", ["", "0", "2", "-1", "²", "gone", "\x1b[2J"])
async def test_what_is_not_on_the_list_decides_nothing(tmp_path: Path, clock: Clock, answer: str) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))

        code, screen = await at.decide(None, (WHICH, f"{answer}\n"))

        assert (code, await at.status()) == (1, (Status.WAITING, None))
        assert (screen.endswith("othing was decided.\n"), "\x1b" in screen) == (True, False)


@needs_pty
async def test_what_does_not_wait_cannot_be_decided(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))
        await at.ledger.decide("plan-1", approve=False, by="page")

        ends = [await at.decide(plan_id) for plan_id in (None, "plan-1", "no\x1bne")]

        assert [code for code, _ in ends] == [1, 1, 1]
        assert ends[-1][1].splitlines() == [
            "No plan is waiting.",
            "Plan plan-1 does not wait for a decision: it is denied.",
            "There is no plan no\\x1bne.",
        ]


@needs_pty
async def test_a_password_is_not_taken_in_a_terminal(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(asks_password=True), "plan-1", clock()))

        code, screen = await at.decide("plan-1")

        assert (code, await at.status()) == (1, (Status.WAITING, None))
        assert "use the approval page" in screen
        assert "env:SCP_MCP_SECRET_<NAME> or file:<name>" in screen


@needs_pty
@pytest.mark.parametrize("typed", ["\x04", "appro\x04\x04"])
async def test_the_end_of_input_decides_nothing(tmp_path: Path, clock: Clock, typed: str) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))

        code, screen = await at.decide("plan-1", (CHOICE, typed))

        assert (code, await at.status()) == (1, (Status.WAITING, None))
        assert screen.endswith("No answer; the plan goes on waiting.\n")


@needs_pty
async def test_texts_of_the_service_cannot_steer_the_terminal(tmp_path: Path, clock: Clock) -> None:
    hostile = "x\x1b[2J\r\nApproved.\u202e\u3164\x9b"
    async with room(tmp_path, clock) as at:
        plan = deletion(
            headline=hostile,
            where=Where(hostile, hostile, hostile, hostile, hostile),
            body={hostile: hostile},
            lost=(hostile,),
            live={hostile: hostile},
            checks=(Check(hostile, Finding.FAIL, hostile, fix=hostile),),
            asker=hostile,
        )
        await at.ledger.add(entry_of(plan, "plan-1", clock()))

        _, screen = await at.decide(None, (WHICH, "1\n"), (CHOICE, "\n"))

        assert {"\x1b", "\r", "\u202e", "\u3164", "\x9b"} & set(screen) == set()
        assert [line for line in screen.splitlines() if line.startswith("Approved.")] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 한글 é", "plain 한글 é"),
        ("\t\n\r\x1b\x7f\x9b", r"\t\n\r\x1b\x7f\x9b"),
        ("a\u200bb\u202ec\u2066", r"a\u200bb\u202ec\u2066"),
        ("\u3164\u115f\uffa0\u2800\u034f", r"\u3164\u115f\uffa0\u2800\u034f"),
        ("x\ufe0f\U000e0041\U000e0100", r"x\ufe0f\U000e0041\U000e0100"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert harmless(text) == shown


async def test_without_a_terminal_nothing_is_decided(
    tmp_path: Path, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_terminal() -> tuple[TextIO, TextIO]:
        raise OSError

    ledger = Ledger(tmp_path, clock)
    await ledger.add(entry_of(creation(), "plan-1", clock()))

    code = await approve_in_terminal(
        ledger,
        make_desk(ledger, tmp_path, clock),
        "plan-1",
        clock,
        open_terminal=no_terminal,
    )

    entry = await ledger.get("plan-1")
    await ledger.aclose()
    out, err = capfd.readouterr()
    assert (code, entry and entry.status, out) == (1, "waiting", "")
    assert err.startswith("scp-aimlops-mcp: there is no terminal to ask a person on")
    assert err.count("\n") == 1


# As a process, on its controlling terminal


@contextmanager
def child(clock: Clock, directory: Path, terminal: str) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", CHILD, str(directory), str(clock()), terminal]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


@needs_pty
async def test_the_controlling_terminal_decides_whatever_stdin_says(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))
        with child(clock, tmp_path, os.ttyname(at.slave)) as process:
            assert process.stdin is not None
            process.stdin.write(b"approve\n")
            process.stdin.flush()
            await at.person.when(CHOICE, "deny\n")
            out, err = await anyio.to_thread.run_sync(process.communicate, None, LIMIT_S)

            assert (process.returncode, out, err) == (1, b"", b"")
            assert await at.status() == (Status.DENIED, "terminal")


@needs_pty
async def test_a_process_without_a_terminal_ends_at_once(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))
        with child(clock, tmp_path, "") as process:
            out, err = await anyio.to_thread.run_sync(process.communicate, b"approve\n", LIMIT_S)

            assert (process.returncode, out, err.count(b"\n")) == (1, b"", 1)
            assert await at.status() == (Status.WAITING, None)


@needs_pty
async def test_an_interrupt_ends_the_process_and_decides_nothing(tmp_path: Path, clock: Clock) -> None:
    async with room(tmp_path, clock) as at:
        await at.ledger.add(entry_of(creation(), "plan-1", clock()))
        with child(clock, tmp_path, os.ttyname(at.slave)) as process:
            await at.person.when(CHOICE, "\x03")
            await anyio.to_thread.run_sync(process.communicate, None, LIMIT_S)

            assert process.returncode == 130
            assert await at.status() == (Status.WAITING, None)
