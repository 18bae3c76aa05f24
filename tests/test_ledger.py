"""The ledger: rows move one way, an approval is used once, and processes share it safely."""

import os
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from aimlops_server.guard.ledger import KEPT_S, Entry, Ledger, LedgerUnavailable, Status
from aimlops_server.settings import LEDGER_FILE

from tests.world import Clock

pytestmark = pytest.mark.anyio

ENTRY = Entry(
    id="ABCD-EFGH",
    tool="delete_platform",
    target="platform 1",
    request_digest="request",
    digest="digest",
    asker="me",
    endpoint="https://x",
    account="a",
    arguments="{}",
    shown="{}",
    preview="DELETE",
    created_s=1_790_000_000.0,
    expires_s=1_790_000_600.0,
)


@pytest.fixture
async def ledger(tmp_path: Path, clock: Clock) -> AsyncGenerator[Ledger]:
    opened = Ledger(tmp_path / "state", clock)
    yield opened
    await opened.aclose()


async def test_a_plan_goes_from_waiting_to_committed(ledger: Ledger) -> None:
    await ledger.add(ENTRY)
    assert await ledger.get(ENTRY.id) == ENTRY
    assert await ledger.decide(ENTRY.id, approve=True, by="form")
    assert await ledger.start(ENTRY.id, ENTRY.digest)
    assert await ledger.finish(ENTRY.id, Status.COMMITTED, "accepted", "req-1")

    (row,) = await ledger.latest()
    assert (row.status, row.decided_by, row.observed, row.request_id) == ("committed", "form", "accepted", "req-1")


async def test_each_step_is_refused_out_of_its_order(ledger: Ledger) -> None:
    await ledger.add(ENTRY)
    assert not await ledger.start(ENTRY.id, ENTRY.digest)  # not approved
    assert not await ledger.finish(ENTRY.id, Status.COMMITTED, "")  # not started
    assert await ledger.decide(ENTRY.id, approve=True, by="page")
    assert not await ledger.decide(ENTRY.id, approve=False, by="page")  # decided
    assert not await ledger.start(ENTRY.id, "another digest")
    assert await ledger.start(ENTRY.id, ENTRY.digest)
    assert not await ledger.start(ENTRY.id, ENTRY.digest)  # used
    assert await ledger.finish(ENTRY.id, Status.UNKNOWN, "lost")
    assert await ledger.finish(ENTRY.id, Status.ABSENT, "settled")
    assert not await ledger.finish(ENTRY.id, Status.COMMITTED, "")  # a known outcome is final


async def test_a_denied_plan_stays_denied(ledger: Ledger) -> None:
    await ledger.add(ENTRY)
    assert await ledger.decide(ENTRY.id, approve=False, by="terminal")
    assert not await ledger.decide(ENTRY.id, approve=True, by="terminal")
    assert not await ledger.start(ENTRY.id, ENTRY.digest)


async def test_an_expired_plan_is_neither_decided_nor_started(ledger: Ledger, clock: Clock) -> None:
    await ledger.add(ENTRY)
    await ledger.add(replace(ENTRY, id="B"))
    assert await ledger.decide("B", approve=True, by="page")
    clock.now_s = ENTRY.expires_s
    assert not await ledger.decide(ENTRY.id, approve=True, by="page")
    assert not await ledger.start("B", ENTRY.digest)
    assert {row.status_at(clock()) for row in await ledger.latest()} == {Status.EXPIRED}


async def test_of_many_processes_one_uses_an_approval_up(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    await ledger.add(ENTRY)
    await ledger.decide(ENTRY.id, approve=True, by="form")
    won: list[bool] = []

    async def other_process() -> None:
        other = Ledger(tmp_path / "state", clock)
        won.append(await other.start(ENTRY.id, ENTRY.digest))
        await other.aclose()

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(other_process)

    assert sorted(won) == [False] * 7 + [True]


async def test_a_started_change_is_in_flight_while_its_process_lives(tmp_path: Path, clock: Clock) -> None:
    sender, other = Ledger(tmp_path / "state", clock), Ledger(tmp_path / "state", clock)
    await sender.add(ENTRY)
    await sender.decide(ENTRY.id, approve=True, by="form")
    await sender.start(ENTRY.id, ENTRY.digest)
    (row,) = await other.unsettled(ENTRY.endpoint, ENTRY.account)
    assert await other.in_flight(row)
    assert await sender.in_flight(row)
    await sender.aclose()
    assert not await other.in_flight(row)
    await other.aclose()


async def test_processes_that_open_a_new_ledger_at_once_all_can(tmp_path: Path, clock: Clock) -> None:
    """SQLite itself refuses some of them with "database is locked", and then a change would not be sent."""

    async def open_it(ledger: Ledger) -> None:
        assert await ledger.latest() == []

    for number in range(80):
        ledgers = [Ledger(tmp_path / str(number), clock) for _ in range(4)]
        async with anyio.create_task_group() as group:
            for ledger in ledgers:
                group.start_soon(open_it, ledger)
        for ledger in ledgers:
            await ledger.aclose()


async def test_a_ledger_that_could_not_be_opened_opens_when_it_can(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / LEDGER_FILE
    file.write_bytes(b"no database " * 100)
    file.chmod(0o600)
    ledger = Ledger(tmp_path, clock)
    with pytest.raises(LedgerUnavailable):
        await ledger.add(ENTRY)
    file.write_bytes(b"")

    await ledger.add(ENTRY)

    assert await ledger.latest() == [ENTRY]
    await ledger.aclose()


DIES = """
import anyio, os, sys
from pathlib import Path
from aimlops_server.guard.ledger import Ledger
async def main():
    ledger = Ledger(Path(sys.argv[1]), lambda: 1_790_000_000.0)
    assert await ledger.start("ABCD-EFGH", "digest")
    os._exit(9)
anyio.run(main)
"""


async def test_a_process_that_died_leaves_its_change_started_and_not_in_flight(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.add(ENTRY)
    await ledger.decide(ENTRY.id, approve=True, by="form")
    with anyio.fail_after(20):
        died = await anyio.run_process([sys.executable, "-c", DIES, str(tmp_path / "state")], check=False)

    assert died.returncode == 9, died.stderr
    (row,) = await ledger.unsettled(ENTRY.endpoint, ENTRY.account)
    assert row.status == Status.STARTED
    assert not await ledger.in_flight(row)


async def test_unsettled_changes_are_those_of_this_account_and_target(ledger: Ledger) -> None:
    for number, (endpoint, account) in enumerate((("https://x", "a"), ("https://x", "b"), ("https://y", "a"))):
        await ledger.add(replace(ENTRY, id=str(number), endpoint=endpoint, account=account, target=f"t{number}"))
        await ledger.decide(str(number), approve=True, by="form")
        await ledger.start(str(number), ENTRY.digest)

    assert [row.id for row in await ledger.unsettled("https://x", "a")] == ["0"]
    assert [row.id for row in await ledger.unsettled("https://x", "a", "t0")] == ["0"]
    assert await ledger.unsettled("https://x", "a", "t1") == []


async def start(ledger: Ledger, entry: Entry) -> bool:
    """A change that a person approved leaves."""
    await ledger.add(entry)
    await ledger.decide(entry.id, approve=True, by="form")
    return await ledger.start(entry.id, entry.digest)


async def test_no_change_starts_while_another_of_the_same_is_started(ledger: Ledger) -> None:
    """In whatever process, and even if that one is dead; of another target, account or endpoint it does."""
    assert await start(ledger, ENTRY)
    assert not await start(ledger, replace(ENTRY, id="second"))
    for number, other in enumerate(({"target": "platform 2"}, {"account": "b"}, {"endpoint": "https://y"})):
        assert await start(ledger, replace(ENTRY, id=str(number), **other))
    await ledger.finish(ENTRY.id, Status.UNKNOWN, "lost")

    assert await ledger.start("second", ENTRY.digest)  # whether an unknown one is at rest, the guard has looked


async def test_a_later_change_of_the_same_hides_what_became_of_an_unknown_one(ledger: Ledger, clock: Clock) -> None:
    """Even if the clock was set back in between. Of another target, account or endpoint it hides nothing."""
    await start(ledger, ENTRY)
    await ledger.finish(ENTRY.id, Status.UNKNOWN, "lost")
    for number, other in enumerate(({"target": "platform 2"}, {"account": "b"}, {"endpoint": "https://y"})):
        assert await start(ledger, replace(ENTRY, id=str(number), **other))
    assert [row.id for row in await ledger.unsettled(ENTRY.endpoint, ENTRY.account, ENTRY.target)] == [ENTRY.id]
    clock.now_s -= 3600
    assert await start(ledger, replace(ENTRY, id="later"))

    assert not await ledger.settle(ENTRY.id, Status.COMMITTED, "the later one's work")
    row = await ledger.get(ENTRY.id)
    assert row
    assert (row.status, row.observed) == ("unknown", "lost")
    assert await ledger.settle("later", Status.COMMITTED, "seen")
    assert not await ledger.settle("later", Status.ABSENT, "a known outcome is final")
    assert await ledger.unsettled(ENTRY.endpoint, ENTRY.account, ENTRY.target) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such mode bits")
async def test_nobody_else_can_read_or_write_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.add(ENTRY)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert {name: mode & 0o077 for name, mode in modes.items()} == dict.fromkeys(modes, 0)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such mode bits")
@pytest.mark.parametrize("name", [".", "processes", "ledger.sqlite3"])
async def test_a_ledger_that_others_can_use_is_refused_and_left_as_it_is(
    tmp_path: Path, clock: Clock, name: str
) -> None:
    state = tmp_path / "state"
    async with aclosing(Ledger(state, clock)) as ledger:
        await ledger.add(ENTRY)
    (state / name).chmod(0o755)
    async with aclosing(Ledger(state, clock)) as ledger:
        with pytest.raises(LedgerUnavailable) as refused:
            await ledger.latest()

    right = 600 if name == "ledger.sqlite3" else 700
    assert f"(others can use {state / name}, its mode is 0755; if they should not, chmod {right} it)" in str(
        refused.value
    )
    assert stat.S_IMODE((state / name).stat().st_mode) == 0o755


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_directory_of_another_user_is_refused(tmp_path: Path, clock: Clock) -> None:
    state = tmp_path / "state"
    state.mkdir(0o700)
    os.chown(state, 12345, -1)
    with pytest.raises(LedgerUnavailable, match="belongs to another user; choose another directory"):
        await Ledger(state, clock).latest()


async def test_what_ended_long_ago_is_removed_and_what_is_not_settled_never(tmp_path: Path, clock: Clock) -> None:
    """Nor what hides an unknown outcome: without it a look would take the later change's work for it."""
    old = {"created_s": clock() - KEPT_S - 601, "expires_s": clock() - KEPT_S - 1}
    ended = {"started_s": old["created_s"], "ended_s": old["created_s"]}
    rows = [
        replace(ENTRY, id="never approved", target="1", **old),
        replace(ENTRY, id="denied", target="2", status="denied", **old),
        replace(ENTRY, id="approved, never sent", target="3", status="approved", **old),
        replace(ENTRY, id="committed", target="4", status="committed", **old, **ended),
        replace(ENTRY, id="settled later", target="5", status="absent", **old, **{**ended, "ended_s": clock() - 1}),
        replace(ENTRY, id="started", target="6", status="started", **old, **ended),
        replace(ENTRY, id="unknown", target="7", status="unknown", **old, **ended),
        replace(ENTRY, id="hides the unknown one", target="7", status="committed", **old, **ended),
        replace(ENTRY, id="new", target="8"),
    ]
    async with aclosing(Ledger(tmp_path, clock)) as ledger:
        for row in rows:
            await ledger.add(row)
    async with aclosing(Ledger(tmp_path, clock)) as ledger:
        left = {row.id for row in await ledger.latest()}

    assert left == {"settled later", "started", "unknown", "hides the unknown one", "new"}


async def test_a_ledger_that_cannot_be_opened_says_so(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("not a directory", "utf-8")
    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        await Ledger(tmp_path / "file", clock).latest()


async def test_writing_is_flushed_to_the_disk_before_it_returns(ledger: Ledger, tmp_path: Path) -> None:
    """Another program sees the row as soon as add returns, and the file says how it is synchronised."""
    await ledger.add(ENTRY)
    read = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); print(db.execute('SELECT id FROM plans').fetchall())"
    )
    file = str(tmp_path / "state" / "ledger.sqlite3")
    seen = subprocess.run([sys.executable, "-c", read, file], capture_output=True, text=True, check=True, timeout=20)  # noqa: ASYNC221 reason: a test
    assert seen.stdout == "[('ABCD-EFGH',)]\n"
