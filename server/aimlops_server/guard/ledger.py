"""The ledger: every plan, what became of it, and who decided. Shared safely by all server processes of one user.

A plan's row moves one way only:

    waiting → approved → started → committed | absent | unknown → committed | absent
            ↘ denied

`waiting` and `approved` rows end by themselves when they expire. Secrets never
come here, only references to them. What ended 90 days ago is removed when a
process opens the ledger. Knows no API, no client and no page.
"""

import json
import os
import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import filelock

from aimlops_server.errors import NotSent
from aimlops_server.private import make_private_directory, require_private
from aimlops_server.settings import LEDGER_FILE

OWNERS = "processes"
OPENING = "ledger.lock"
BUSY_TIMEOUT_S = 10.0
KEPT_S = 90 * 24 * 3600.0

T = TypeVar("T")


class Status(StrEnum):
    """What became of a plan. EXPIRED is never stored: it is a waiting or approved plan after its time."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    STARTED = "started"
    COMMITTED = "committed"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One plan; times are Unix seconds.

    `request_digest` stands for the request, where it goes and who asks; `digest` for all that a person is shown, the
    live state included. `target` is what the change touches. `owner` is the process that sent the request.
    """

    id: str
    tool: str
    target: str
    request_digest: str
    digest: str
    asker: str
    endpoint: str
    account: str
    arguments: str
    shown: str
    preview: str
    created_s: float
    expires_s: float
    status: str = Status.WAITING
    decided_s: float | None = None
    decided_by: str | None = None
    started_s: float | None = None
    owner: str | None = None
    ended_s: float | None = None
    request_id: str | None = None
    observed: str | None = None

    def status_at(self, now_s: float) -> Status:
        """The status, with expiry counted in."""
        ends = self.status in {Status.WAITING, Status.APPROVED} and now_s >= self.expires_s
        return Status.EXPIRED if ends else Status(self.status)

    @property
    def plan(self) -> dict[str, Any]:
        """The plan as it was shown."""
        return json.loads(self.shown)


class LedgerUnavailable(NotSent):
    """The ledger cannot be read or written. What cannot be recorded is not sent."""


_COLUMNS = tuple(field.name for field in fields(Entry))
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS plans ({", ".join(_COLUMNS)}, PRIMARY KEY (id));
CREATE INDEX IF NOT EXISTS plans_by_request ON plans (request_digest);
CREATE INDEX IF NOT EXISTS plans_by_status ON plans (status, target);
"""
_SAME_TARGET = (
    "other.endpoint = plans.endpoint AND other.account = plans.account AND other.target = plans.target "
    "AND other.id <> plans.id"
)
_NO_OTHER_STARTED = f"NOT EXISTS (SELECT 1 FROM plans AS other WHERE {_SAME_TARGET} AND other.status = ?)"  # noqa: S608 reason: texts of this module
_NOT_HIDDEN = f"NOT EXISTS (SELECT 1 FROM plans AS other WHERE {_SAME_TARGET} AND other.started_s > plans.started_s)"  # noqa: S608 reason: texts of this module
# What ended long ago: the audit log still tells of it. Not what hides another's outcome, which would come to light.
_FORGET = f"""
DELETE FROM plans WHERE status NOT IN (?1, ?2) AND max(expires_s, coalesce(ended_s, 0)) < ?3
AND NOT EXISTS (SELECT 1 FROM plans AS other WHERE {_SAME_TARGET} AND other.status IN (?1, ?2))
"""  # noqa: S608 reason: texts of this module
# Later than every other start of the same, even if the clock was set back: `settle` relies on that order.
_STARTED_S = f"max(?, 0.001 + coalesce((SELECT max(started_s) FROM plans AS other WHERE {_SAME_TARGET}), 0))"  # noqa: S608 reason: texts of this module


class Ledger:
    """The ledger in one directory. Every method is one transaction; none of them holds a lock when it returns."""

    def __init__(self, directory: Path, clock_s: Callable[[], float]) -> None:
        self._directory = directory
        self._clock_s = clock_s
        self._connection: sqlite3.Connection | None = None
        self._owner = uuid.uuid4().hex
        self._alive: filelock.BaseFileLock | None = None
        # sqlite3 waits for the disk, so it runs in a worker thread: one at a time, as a connection wants it.
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def add(self, entry: Entry) -> None:
        """Record a new plan."""
        marks = ", ".join("?" * len(_COLUMNS))
        statement = f"INSERT INTO plans VALUES ({marks})"  # noqa: S608 reason: question marks alone
        await self._run(lambda db: db.execute(statement, astuple(entry)).rowcount)

    async def get(self, plan_id: str) -> Entry | None:
        """One plan by its id."""
        found = await self._select("id = ?", (plan_id,), 1)
        return found[0] if found else None

    async def latest(self, limit: int = 100) -> list[Entry]:
        """The newest plans first."""
        return await self._select("1", (), limit)

    async def of_request(self, request_digest: str) -> list[Entry]:
        """The plans of the very same request, newest first."""
        return await self._select("request_digest = ?", (request_digest,), 20)

    async def unsettled(self, endpoint: str, account: str, target: str | None = None) -> list[Entry]:
        """Changes whose request left (or was about to) and whose outcome is not known, on this account.

        Not those that a later change of the same hides for good.
        """
        where = f"(status = ? OR (status = ? AND {_NOT_HIDDEN})) AND endpoint = ? AND account = ?"
        values: tuple[Any, ...] = (Status.STARTED, Status.UNKNOWN, endpoint, account)
        if target is not None:
            where, values = f"{where} AND target = ?", (*values, target)
        return await self._select(where, values, 100)

    async def waits(self, plan_id: str) -> bool:
        """Whether a plan waits for a decision."""
        entry = await self.get(plan_id)
        return entry is not None and entry.status_at(self._clock_s()) is Status.WAITING

    async def decide(self, plan_id: str, *, approve: bool, by: str) -> bool:
        """A person's decision on a waiting plan. False when it was too late: decided, used or expired."""
        now_s = self._clock_s()
        return await self._move(
            "status = ?, decided_s = ?, decided_by = ?",
            (Status.APPROVED if approve else Status.DENIED, now_s, by),
            "id = ? AND status = ? AND expires_s > ?",
            (plan_id, Status.WAITING, now_s),
        )

    async def start(self, plan_id: str, digest: str) -> bool:
        """Use an approval up, in one statement: of all processes exactly one gets True, and once.

        False too while another change of the same is started: a second one would act on a state that nobody was shown.
        """
        now_s = self._clock_s()
        return await self._move(
            f"status = ?, started_s = {_STARTED_S}, owner = ?",
            (Status.STARTED, now_s, self._owner),
            f"id = ? AND digest = ? AND status = ? AND expires_s > ? AND {_NO_OTHER_STARTED}",
            (plan_id, digest, Status.APPROVED, now_s, Status.STARTED),
        )

    async def finish(self, plan_id: str, outcome: Status, observed: str, request_id: str | None = None) -> bool:
        """Record the outcome of a started change. A known outcome is final."""
        return await self._move(
            "status = ?, ended_s = ?, observed = ?, request_id = coalesce(?, request_id)",
            (outcome, self._clock_s(), observed, request_id),
            "id = ? AND status IN (?, ?)",
            (plan_id, Status.STARTED, Status.UNKNOWN),
        )

    async def settle(self, plan_id: str, outcome: Status, observed: str) -> bool:
        """Record what reading showed of a change whose answer was lost. False: it was settled already, or is hidden.

        A change of the same that started meanwhile, in any process, hides it: what was read may be that one's work.
        So the look for one is part of the statement that records, and comes after the read.
        """
        return await self._move(
            "status = ?, ended_s = ?, observed = ?",
            (outcome, self._clock_s(), observed),
            f"id = ? AND status IN (?, ?) AND {_NOT_HIDDEN}",
            (plan_id, Status.STARTED, Status.UNKNOWN),
        )

    async def in_flight(self, entry: Entry) -> bool:
        """Whether the process that sent a started change still lives, so that its outcome is its to tell."""
        if entry.status != Status.STARTED or entry.owner is None or entry.owner == self._owner:
            return entry.status == Status.STARTED and entry.owner == self._owner
        return await anyio.to_thread.run_sync(_is_held, self._directory / OWNERS / entry.owner)

    async def aclose(self) -> None:
        """Close the file and say that this process is gone."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close, limiter=self._one_at_a_time)

    async def _move(self, changes: str, values: tuple[Any, ...], where: str, keys: tuple[Any, ...]) -> bool:
        statement = f"UPDATE plans SET {changes} WHERE {where}"  # noqa: S608 reason: both are texts of this module
        return await self._run(lambda db: db.execute(statement, (*values, *keys)).rowcount == 1)

    async def _select(self, where: str, values: tuple[Any, ...], limit: int) -> list[Entry]:
        order = "ORDER BY created_s DESC, rowid DESC LIMIT ?"
        query = f"SELECT * FROM plans WHERE {where} {order}"  # noqa: S608 reason: texts of this module
        return await self._run(lambda db: [Entry(*row) for row in db.execute(query, (*values, limit)).fetchall()])

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            try:
                with self._open() as db:  # commits, or rolls back on an error
                    return work(db)
            except (sqlite3.Error, OSError) as error:
                raise LedgerUnavailable(
                    f"The ledger in {self._directory} cannot be used ({_reason(error)}), and a change that cannot be "
                    "recorded is not sent.",
                    "tell the user; SCP_MCP_STATE_DIR names the directory",
                ) from None

        # run_sync does not leave its thread half-way: a cancelled caller gets its cancellation afterwards.
        return await anyio.to_thread.run_sync(transaction, limiter=self._one_at_a_time)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            owners = self._directory / OWNERS
            make_private_directory(self._directory)
            make_private_directory(owners)
            path = self._directory / LEDGER_FILE
            # Created with its mode before SQLite sees it; its -wal and -shm files take the same mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            require_private(path)
            if self._alive is None:
                alive = _lock(owners / self._owner)
                alive.acquire(timeout=0)
                self._alive = alive
            # SQLite waits for whoever writes, but not for another process that makes the new file a WAL one just now.
            with _lock(self._directory / OPENING).acquire(timeout=BUSY_TIMEOUT_S, poll_interval=0.002):
                self._connection = _opened(path, self._clock_s() - KEPT_S)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._alive is not None:
            self._alive.release()
            (self._directory / OWNERS / self._owner).unlink(missing_ok=True)
            self._alive = None


def _opened(path: Path, forget_before_s: float) -> sqlite3.Connection:
    """A connection that is ready, or none."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
        connection.execute(_FORGET, (Status.STARTED, Status.UNKNOWN, forget_before_s))
        connection.commit()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _lock(path: Path) -> filelock.FileLock:
    """The operating system drops it when the process dies, however it dies."""
    return filelock.FileLock(path, mode=0o600, thread_local=False)


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with _lock(path).acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True
