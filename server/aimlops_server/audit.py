"""The audit log: every step of every change, one JSON line each, chained by hashes, never rewritten.

A line is compact ASCII JSON with these members, in this order:

    seq      1, 2, 3, … through all files
    time     when the step happened: ISO 8601, UTC, milliseconds
    event    which step
    plan_id  of which change
    facts    what is to be remembered of it
    prev     the hash of the line before; 64 zeros in the first
    torn     only after a crash: the SHA-256 of the unfinished bytes since the line before, with their line end
    hash     the SHA-256 of this line without this member

The newest lines are in audit.jsonl. When it is full it becomes audit-<first seq>-<last seq>.jsonl, and the chain goes
on in a new one. All server processes of one user write to the same file, one after the other.

What the chain shows: a line that was edited, removed, moved or inserted. What it cannot show: that the newest lines
were cut off, or that somebody wrote the whole log anew, for there is no secret in it. Whoever must exclude that keeps
the last hash, which `verify` returns, in another place.

Knows files, nothing of plans, requests or people: whoever appends chooses facts that are safe to keep. Never a secret.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
import filelock
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from aimlops_server.errors import ConfigurationError, NotSent
from aimlops_server.private import make_private_directory, require_private

log = logging.getLogger(__name__)

FILE_NAME = "audit.jsonl"
MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_TEXT_CHARS = 2_000
MAX_FACTS_CHARS = 200_000
# Longer than any line that the limits above let through.
MAX_LINE_BYTES = 256 * 1024
LOCK_TIMEOUT_S = 10.0
GENESIS = "0" * 64

_LOCK_POLL_S = 0.005
_TAIL_BYTES = 64 * 1024
_ROTATED = re.compile(r"audit-([0-9]{1,18})-([0-9]{1,18})\.jsonl")
_SEAL = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_SEAL_BYTES = len(b',"hash":""}') + 64
# Without O_BINARY Windows would turn every \n into \r\n.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
# filelock reports a file system without locks as NotImplementedError.
_UNUSABLE = (OSError, NotImplementedError)


class AuditFailed(NotSent):
    """A step could not be recorded. Before the request that means it is not sent.

    After the request it says nothing about the change: whoever records an outcome must not pass it on as "not sent".
    """


class Line(BaseModel):
    """One whole line; the module's docstring says what each member is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seq: int
    time: str
    event: str
    plan_id: str
    facts: dict[str, JsonValue]
    prev: str
    torn: str | None = None
    hash: str


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file} line {self.line}"


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a place: a line, or with `line` None bytes that are none. `ended`: they have their line end."""

    place: Place
    raw: bytes
    ended: bool
    line: Line | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The first place where the log is not what was written, and how that shows."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the whole log found.

    `lines` counts the good lines before `broken`, or all of them. `torn` are the places where a crash left an
    unfinished line, which is no sign of tampering. `last_hash` is the hash of the last good line: kept in another
    place, it proves later that the log has not been cut off before that line, nor written anew.
    """

    ok: bool
    lines: int
    broken: Broken | None
    torn: tuple[Place, ...]
    last_hash: str


class AuditLog:
    """Appends to the log whose newest file is `path`, which must be called audit.jsonl.

    `clock_s` gives Unix seconds. A file over `max_bytes` is put aside before the next line. Other processes that write
    are waited for `lock_timeout_s` at most.
    """

    def __init__(
        self,
        path: Path,
        clock_s: Callable[[], float],
        *,
        max_bytes: int = MAX_FILE_BYTES,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        if path.name != FILE_NAME:
            raise ValueError(f"the audit log must be called {FILE_NAME}: verify finds it by that name")
        self._path = path
        self._clock_s = clock_s
        self._max_bytes = max_bytes
        self._lock_timeout_s = lock_timeout_s
        # The file takes one line at a time anyway; waiting here does not use up the shared worker threads.
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def append(self, event: str, plan_id: str, **facts: JsonValue) -> None:
        """Record one step; it is on the disk when this returns.

        Texts over MAX_TEXT_CHARS are cut. A caller that is cancelled meanwhile gets its cancellation after the line
        is written.

        Raises:
            AuditFailed: it could not be written, and the log is as it was.
        """
        now_s = self._clock_s()
        try:
            # In a worker thread, for fsync waits for the disk; shielded, for half a line helps nobody.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._append, event, plan_id, facts, now_s, limiter=self._one_at_a_time)
        except (*_UNUSABLE, ValueError, TypeError, RecursionError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise AuditFailed(
                f"The change could not be recorded in {self._path} ({reason}), so it was not sent.",
                f"tell the user; once {self._path.parent} can be written to, start over",
            ) from None

    def _append(self, event: str, plan_id: str, facts: Mapping[str, JsonValue], now_s: float) -> None:
        make_private_directory(self._path.parent)
        with _lock(self._path.parent, self._lock_timeout_s):
            tail = _tail(self._path)
            require_private(self._path)
            tail = self._make_room(tail)
            last = tail.line or _last_rotated_line(self._path.parent)
            record: dict[str, JsonValue] = {
                "seq": last.seq + 1 if last else 1,
                "time": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "event": _bounded(event),
                "plan_id": _bounded(plan_id),
                "facts": _bounded_facts(facts),
                "prev": last.hash if last else GENESIS,
            }
            if tail.torn:
                record["torn"] = hashlib.sha256(tail.torn + (b"" if tail.ended else b"\n")).hexdigest()
            line = _sealed(record)
            if _parse(line) is None:
                raise ValueError("the facts cannot be read back")
            self._write((b"" if tail.ended else b"\n") + line + b"\n", tail.size)

    def _make_room(self, tail: "_Tail") -> "_Tail":
        """Put a full file aside. What a crash tore stays with the line that says so: then the next append does it."""
        if tail.size <= self._max_bytes or tail.line is None or tail.torn or not tail.ended:
            return tail
        rotated = _rotated(self._path.parent)
        first = rotated[-1].last + 1 if rotated else 1
        aside = self._path.with_name(f"audit-{first:09d}-{tail.line.seq:09d}.jsonl")
        try:
            self._path.rename(aside)
        except OSError as error:
            # A file that grows is better than a change that cannot be recorded; on Windows a reader is enough for this.
            log.warning("%s is full and could not be renamed: %s", self._path, error.strerror)
            return tail
        return _Tail(tail.line, b"", ended=True, size=0)

    def _write(self, data: bytes, size: int) -> None:
        """Write all of it to the disk, or leave the file as it was, `size` bytes long."""
        descriptor = os.open(self._path, _APPEND, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            # Should this fail too, the next append finds the torn line and says so.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)
        if size == 0:
            _sync_directory(self._path.parent)


class Reader:
    """One pass over the log, oldest line first, in bounded memory. `verdict` tells about what was read so far.

    Raises:
        ConfigurationError: a file cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lines = 0
        self._seq = 0
        self._hash: str = GENESIS
        self._torn: list[Place] = []
        self._broken: Broken | None = None
        self._unfinished: _Unfinished | None = None
        self._promised: tuple[Place, int] | None = None

    def __iter__(self) -> Iterator[Found]:
        try:
            for found in self._read():
                self._check(found)
                yield found
        except OSError as error:
            raise ConfigurationError(
                f"{self._directory}: the audit log cannot be read: {error.strerror or error}",
                "correct the permissions and try again",
            ) from None

    def verdict(self) -> Verdict:
        """What the lines read so far show."""
        broken, torn = self._broken, tuple(self._torn)
        if broken is None and self._unfinished:
            if self._unfinished.looks_torn and not self._unfinished.ended:
                torn += (self._unfinished.place,)
            else:
                broken = Broken(self._unfinished.place, _EDITED)
        if broken is None and self._promised and self._promised[1] > self._seq:
            place, promised = self._promised
            broken = Broken(place, f"the log ends at number {self._seq}; this file's name promises {promised}")
        return Verdict(broken is None, self._lines, broken, torn, self._hash)

    def _read(self) -> Generator[Found]:
        if not self._directory.is_dir():
            return
        with contextlib.ExitStack() as stack:
            # Only the look around is locked: the files put aside never change, and the newest is read up to `size`.
            with _lock_if_possible(self._directory):
                rotated = _rotated(self._directory)
                newest = _open(self._directory / FILE_NAME)
                size = os.fstat(stack.enter_context(newest).fileno()).st_size if newest else 0
            for file in rotated:
                with file.path.open("rb") as stream:
                    number = 0
                    for found in _lines(stream, file.path.name, os.fstat(stream.fileno()).st_size):
                        number = found.place.line
                        yield found
                    self._promised = Place(file.path.name, max(1, number)), file.last
            if newest:
                yield from _lines(newest, FILE_NAME, size)

    def _check(self, found: Found) -> None:
        if self._broken:
            return
        line = found.line
        if line is None:
            self._unfinished = self._unfinished or _Unfinished(found.place)
            self._unfinished.add(found)
            return
        unfinished, self._unfinished = self._unfinished, None
        if unfinished and not (unfinished.looks_torn and line.torn == unfinished.digest.hexdigest()):
            self._broken = Broken(unfinished.place, _EDITED)
        elif line.torn is not None and not unfinished:
            self._broken = Broken(found.place, "the unfinished line that it says stands before it is missing")
        elif line.seq != self._seq + 1:
            self._broken = Broken(
                found.place,
                f"it has number {line.seq} where {self._seq + 1} belongs: lines were removed, moved or inserted",
            )
        elif line.prev != self._hash:
            self._broken = Broken(found.place, "it does not continue the line before it, which is another than it was")
        elif not found.ended and found.place.file != FILE_NAME:
            self._broken = Broken(found.place, _EDITED)  # only a file with its line end is put aside
        else:
            self._torn += [unfinished.place] if unfinished else []
            self._lines, self._seq, self._hash = self._lines + 1, line.seq, line.hash


def verify(directory: Path) -> Verdict:
    """Follow the chain through all files of the log in `directory`. No log at all is a good log of no lines.

    Finds lines that were edited, removed, moved or inserted, and files that are missing before the newest. Cannot
    find that the newest lines were cut off, nor a log written anew from some line on; see `Verdict.last_hash`. An
    edit of the very last line in the form of an unfinished one is reported as torn.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    reader = Reader(directory)
    deque(reader, maxlen=0)
    return reader.verdict()


_EDITED = "it is not as it was written"


class _Unfinished:
    """Bytes between two whole lines: after a crash the start of a line, otherwise somebody's work."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.digest = hashlib.sha256()
        self.looks_torn = True
        self.ended = True

    def add(self, found: Found) -> None:
        self.digest.update(found.raw + (b"\n" if found.ended else b""))
        # The hash is a line's end, and its quotes cannot occur in a text: what has one was whole, and was changed.
        self.looks_torn = self.looks_torn and not _SEAL.search(found.raw)
        self.ended = found.ended


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of a file: its last whole line, what stands after it, whether a line end closes it, and its bytes."""

    line: Line | None
    torn: bytes
    ended: bool
    size: int


@dataclass(frozen=True, slots=True, order=True)
class _Rotated:
    """A file that was put aside; the numbers are those in its name."""

    first: int
    last: int
    path: Path


def _rotated(directory: Path) -> list[_Rotated]:
    """The files put aside, oldest first."""
    names = ((path, _ROTATED.fullmatch(path.name)) for path in directory.iterdir())
    return sorted(_Rotated(int(m[1]), int(m[2]), path) for path, m in names if m and path.is_file())


def _last_rotated_line(directory: Path) -> Line | None:
    for file in reversed(_rotated(directory)):
        if line := _tail(file.path).line:
            return line
    return None


def _tail(path: Path) -> _Tail:
    stream = _open(path)
    if stream is None:
        return _Tail(None, b"", ended=True, size=0)
    with stream:
        size = os.fstat(stream.fileno()).st_size
        span = _TAIL_BYTES
        while True:
            start = max(0, size - span)
            stream.seek(start)
            data = stream.read(size - start)
            ended = data[-1:] in {b"", b"\n"}
            end = len(data)
            # Backwards, line by line, to the first that is whole; the one at `start` may have begun before it.
            while (before := data.rfind(b"\n", 0, end)) >= 0 or start == 0:
                if line := _parse(data[before + 1 : end]):
                    return _Tail(line, data[end + 1 :], ended, size)
                if before < 0:
                    return _Tail(None, data, ended, size)
                end = before
            span *= 8


def _lines(stream: IO[bytes], name: str, size: int) -> Iterator[Found]:
    """The lines in the first `size` bytes; one that is too long for a line comes in pieces."""
    number = 1
    while size > 0 and (raw := stream.readline(min(size, MAX_LINE_BYTES))):
        size -= len(raw)
        ended = raw.endswith(b"\n")
        raw = raw.removesuffix(b"\n")
        yield Found(Place(name, number), raw, ended, _parse(raw))
        number += ended


def _parse(raw: bytes) -> Line | None:
    """A line if these bytes are exactly what was written."""
    seal = _SEAL.fullmatch(raw[-_SEAL_BYTES:])
    if seal is None or hashlib.sha256(raw[:-_SEAL_BYTES] + b"}").hexdigest().encode() != seal[1]:
        return None
    try:
        return Line.model_validate_json(raw)
    except ValidationError:
        return None


def _sealed(record: Mapping[str, JsonValue]) -> bytes:
    body = _json(record).encode("ascii")
    return body[:-1] + b',"hash":"%s"}' % hashlib.sha256(body).hexdigest().encode()


def _json(value: object) -> str:
    """Compact, and with every character outside of visible ASCII escaped."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _bounded_facts(facts: Mapping[str, JsonValue]) -> JsonValue:
    bounded = {_text(name): _bounded(value) for name, value in facts.items()}
    whole = _json(bounded)
    return bounded if len(whole) <= MAX_FACTS_CHARS else {"cut": _text(whole)}


def _bounded(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, dict):
        return {_text(name): _bounded(item) for name, item in value.items()}
    return value


def _text(text: str) -> str:
    # A lone surrogate is no character: few readers of JSON take it.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"


def _open(path: Path) -> IO[bytes] | None:
    if not path.exists():
        return None
    if not path.is_file():  # opening a pipe would wait for ever
        raise OSError(errno.EINVAL, "it is not a file")
    return path.open("rb")


def _lock(directory: Path, timeout_s: float = LOCK_TIMEOUT_S) -> filelock.BaseFileLock:
    path = directory / f"{FILE_NAME}.lock"
    return filelock.FileLock(path, timeout=timeout_s, mode=0o600, poll_interval=_LOCK_POLL_S)


@contextlib.contextmanager
def _lock_if_possible(directory: Path) -> Generator[None]:
    """For readers: a copy on a read-only medium has no writers either."""
    lock = _lock(directory)
    with contextlib.suppress(*_UNUSABLE):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sync_directory(directory: Path) -> None:
    """Make a new file's name as lasting as its content."""
    if os.name != "posix":  # Windows cannot open a directory
        return
    # Some file systems refuse it; the line itself is on the disk.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
