"""A decision is on record before it counts, whichever way a person takes it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from aimlops_server.audit import AuditFailed, AuditLog, Reader
from aimlops_server.errors import NotSent
from aimlops_server.guard.desk import Desk
from aimlops_server.guard.ledger import Entry, Ledger
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.vault import Vault
from mcp_types import ElicitRequestFormParams, ElicitResult
from pydantic import SecretStr

from tests.test_approval_page import creation, entry_of
from tests.world import Clock, Person, create_arguments, session, text_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ledger(tmp_path: Path, clock: Clock) -> AsyncGenerator[Ledger]:
    async with aclosing(Ledger(tmp_path, clock)) as opened:
        yield opened


async def waiting_plan(ledger: Ledger, clock: Clock) -> Entry:
    entry = entry_of(creation(asks_password=True), "plan-1", clock())
    await ledger.add(entry)
    return entry


def break_the_log(directory: Path) -> None:
    (directory / "audit.jsonl").unlink(missing_ok=True)
    (directory / "audit.jsonl").mkdir()


def desk_of(ledger: Ledger, directory: Path, clock: Callable[[], float]) -> tuple[Desk, Vault]:
    vault = Vault({}, None)
    return Desk(ledger, vault, AuditLog(directory / "audit.jsonl", clock)), vault


async def test_a_yes_that_cannot_be_recorded_does_not_count(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    """And the password that came with it is forgotten."""
    entry = await waiting_plan(ledger, clock)
    desk, vault = desk_of(ledger, tmp_path, clock)
    break_the_log(tmp_path)
    with pytest.raises(AuditFailed):
        await desk.approve(entry, {}, "page", SecretStr("typed"))

    assert await ledger.get(entry.id) == entry
    assert vault.take_typed(entry.id) is None


async def test_a_no_counts_even_if_it_cannot_be_recorded(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    entry = await waiting_plan(ledger, clock)
    desk, _ = desk_of(ledger, tmp_path, clock)
    break_the_log(tmp_path)
    with pytest.raises(AuditFailed):
        await desk.deny(entry, "page")

    now = await ledger.get(entry.id)
    assert now
    assert (now.status, now.decided_by) == ("denied", "page")


async def test_a_yes_that_comes_too_late_while_it_is_recorded_is_on_record_as_void(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    entry = await waiting_plan(ledger, clock)

    def time_passes() -> float:
        clock.now_s = entry.expires_s
        return clock.now_s

    desk, vault = desk_of(ledger, tmp_path, time_passes)
    with pytest.raises(NotSent, match="decided already, or has expired"):
        await desk.approve(entry, {}, "page", SecretStr("typed"))
    with pytest.raises(NotSent, match="decided already, or has expired"):
        await desk.approve(entry, {}, "page", SecretStr("typed"))

    assert await ledger.get(entry.id) == entry
    assert [found.line.event for found in Reader(tmp_path) if found.line] == ["approved", "void"]
    assert vault.take_typed(entry.id) is None


async def test_a_yes_in_a_form_that_cannot_be_recorded_does_not_count(
    sandbox: Sandbox, clock: Clock, era: str, tmp_path: Path, ledger: Ledger
) -> None:
    """Not even later: once the log can be written again, the plan still waits for a person."""

    def yes(_: ElicitRequestFormParams) -> ElicitResult:
        break_the_log(tmp_path)
        return ElicitResult(action="accept", content={"confirm": True})

    async with session(sandbox, era, Person(yes), clock=clock, state_dir=tmp_path) as client:
        unrecorded = await client.call_tool("create_platform", create_arguments())
    (tmp_path / "audit.jsonl").rmdir()
    async with session(sandbox, era, clock=clock, state_dir=tmp_path) as client:
        later = await client.call_tool("create_platform", create_arguments())

    (entry,) = await ledger.latest()
    assert text_of(unrecorded).startswith("create_platform was not sent. The change could not be recorded in ")
    assert f"Plan {entry.id} awaits the user's approval." in text_of(later)
    assert entry.status == "waiting"
    assert sandbox.changes == ()
