"""The audit log: what is recorded stays, and what somebody did to it afterwards is found."""

import csv
import errno
import io
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import filelock
import pytest
from aimlops_server.audit import (
    FILE_NAME,
    GENESIS,
    MAX_FACTS_CHARS,
    AuditFailed,
    AuditLog,
    Broken,
    Place,
    Verdict,
    verify,
)
from aimlops_server.audit_command import export, show, verify_command
from aimlops_server.errors import ConfigurationError, NotSent
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.world import Clock

pytestmark = pytest.mark.anyio

LIMIT_S = 20
SMALL_BYTES = 600
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes, limits, pipes or error texts")

# The format is a promise to whoever checks the log with another program: written down; the hashes are sha256sum's.
FIRST = (
    b'{"seq":1,"time":"2026-09-21T14:13:20.000Z","event":"planned","plan_id":"plan-1",'
    b'"facts":{"tool":"delete_platform","with_k8s":true},'
    b'"prev":"0000000000000000000000000000000000000000000000000000000000000000",'
    b'"hash":"6a4c1c6a37254f311caebe95347a782bd8ef3a18ce8c7c0fad921952a6580f94"}\n'
)
SECOND = (
    b'{"seq":2,"time":"2026-09-21T14:13:21.500Z","event":"declined","plan_id":"plan-1",'
    b'"facts":{"by":"\\ud64d\\uae38\\ub3d9","how":"form"},'
    b'"prev":"6a4c1c6a37254f311caebe95347a782bd8ef3a18ce8c7c0fad921952a6580f94",'
    b'"hash":"03b234cde2db4ef397c27fa8cab399fa9141aa9597a78e897e826f57ac8dd7b9"}\n'
)
WRITER = """
import sys, anyio
from pathlib import Path
from aimlops_server.audit import AuditLog
async def main(directory, name, count, max_bytes):
    log = AuditLog(Path(directory) / "audit.jsonl", lambda: 1.79e9, max_bytes=int(max_bytes), lock_timeout_s=60)
    for number in range(int(count)):
        await log.append("planned", name, number=number)
        print(number, flush=True)
anyio.run(main, *sys.argv[1:])
"""


async def fill(directory: Path, count: int, max_bytes: int = 1_000_000) -> None:
    """Append `count` lines."""
    log = AuditLog(directory / FILE_NAME, Clock(), max_bytes=max_bytes)
    for number in range(count):
        await log.append("planned", "plan-1", number=number)


def lines(directory: Path) -> list[dict[str, Any]]:
    """All lines of the log, oldest first."""
    return [json.loads(line) for path in files(directory) for line in path.read_bytes().splitlines()]


def files(directory: Path) -> list[Path]:
    """The files of the log, oldest first."""
    newest = directory / FILE_NAME
    return [*sorted(directory.glob("audit-*.jsonl")), *([newest] if newest.exists() else [])]


def good(directory: Path, count: int, torn: tuple[Place, ...] = ()) -> Verdict:
    """What verify says about an unbroken log of `count` lines."""
    whole = [line["hash"] for path in files(directory) for line in map(parsed, path.read_bytes().splitlines()) if line]
    return Verdict(ok=True, lines=count, broken=None, torn=torn, last_hash=whole[-1])


def lines_of(path: Path) -> list[bytes]:
    return list(io.BytesIO(path.read_bytes()))


def parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(raw)
    except ValueError:
        return None


async def test_each_line_is_exactly_what_the_format_says(tmp_path: Path, clock: Clock) -> None:
    log = AuditLog(tmp_path / FILE_NAME, clock)
    await log.append("planned", "plan-1", tool="delete_platform", with_k8s=True)
    clock.now_s += 1.5
    await log.append("declined", "plan-1", by="홍길동", how="form")

    assert (tmp_path / FILE_NAME).read_bytes() == FIRST + SECOND
    assert verify(tmp_path) == good(tmp_path, 2)


async def test_the_chain_goes_on_in_another_process(tmp_path: Path) -> None:
    await fill(tmp_path, 2)
    await fill(tmp_path, 2)

    written = lines(tmp_path)
    assert [line["seq"] for line in written] == [1, 2, 3, 4]
    assert [line["prev"] for line in written] == [GENESIS, *(line["hash"] for line in written[:3])]
    assert verify(tmp_path) == good(tmp_path, 4)


def test_no_log_is_a_good_log_of_no_lines(tmp_path: Path) -> None:
    verdicts = [verify(tmp_path), verify(tmp_path / "missing")]

    assert verdicts == [Verdict(ok=True, lines=0, broken=None, torn=(), last_hash=GENESIS)] * 2
    assert not (tmp_path / "missing").exists()


def test_another_file_name_is_refused_at_once(tmp_path: Path) -> None:
    """Verify would not find it."""
    with pytest.raises(ValueError, match=r"audit\.jsonl"):
        AuditLog(tmp_path / "other.jsonl", Clock())


@posix_only
async def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    before = os.umask(0)
    try:
        await fill(directory, 8, SMALL_BYTES)
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert len(modes) > 3
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_many_processes_write_one_unbroken_chain(tmp_path: Path) -> None:
    """Rotations included: there is one every few lines."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), f"plan-{name}", "50", "4000"], stdout=subprocess.DEVNULL
        )
        for name in range(4)
    ]
    assert [writer.wait(LIMIT_S) for writer in writers] == [0, 0, 0, 0]

    assert verify(tmp_path) == good(tmp_path, 200)
    written = lines(tmp_path)
    for name in range(4):
        assert [line["facts"]["number"] for line in written if line["plan_id"] == f"plan-{name}"] == list(range(50))
    assert len(files(tmp_path)) > 5


async def test_many_tasks_write_one_unbroken_chain(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE_NAME, Clock())
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(log.append, "planned", f"plan-{number}")

    assert verify(tmp_path) == good(tmp_path, 20)


def test_a_killed_process_loses_no_recorded_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), "plan-killed", "100000", "4000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        recorded = [int(writer.stdout.readline()) for _ in range(10)]
        writer.kill()
        recorded += [int(line) for line in writer.stdout]
    anyio.run(fill, tmp_path, 1)

    verdict = verify(tmp_path)
    assert verdict.broken is None
    assert verdict.lines in {len(recorded) + 1, len(recorded) + 2}  # the last one may not have been told


@pytest.mark.parametrize("kept", [1, 2, 40, 90, 200, -80, -60, -3, -2])
async def test_a_torn_line_is_told_from_tampering_and_blocks_nothing(tmp_path: Path, kept: int) -> None:
    """`kept` bytes of the third line made it to the disk."""
    await fill(tmp_path, 3)
    path = tmp_path / FILE_NAME
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second + third[:kept])
    torn = (Place(FILE_NAME, 3),)

    assert verify(tmp_path) == good(tmp_path, 2, torn)
    await fill(tmp_path, 2)
    assert verify(tmp_path) == good(tmp_path, 4, torn)
    assert path.read_bytes().startswith(first + second + third[:kept] + b"\n")
    assert [json.loads(line)["seq"] for line in path.read_bytes().splitlines()[3:]] == [3, 4]


async def test_a_line_that_lacks_only_its_end_counts(tmp_path: Path) -> None:
    await fill(tmp_path, 2)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))

    assert verify(tmp_path) == good(tmp_path, 2)
    await fill(tmp_path, 1)
    assert verify(tmp_path) == good(tmp_path, 3)


async def test_a_log_that_is_torn_twice_at_one_place_goes_on(tmp_path: Path) -> None:
    """A second crash, in the middle of the line that would have told of the first."""
    await fill(tmp_path, 1)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes() + b'{"seq":2,"ti\n{"seq":2,"time":"20')

    assert verify(tmp_path) == good(tmp_path, 1, (Place(FILE_NAME, 2),))
    await fill(tmp_path, 1)
    assert verify(tmp_path) == good(tmp_path, 2, (Place(FILE_NAME, 2),))


def left_behind(path: Path, content: bytes) -> None:
    """A file as a process of ours leaves it when it dies."""
    path.touch(0o600)
    path.write_bytes(content)


async def test_a_log_of_one_torn_line_goes_on(tmp_path: Path) -> None:
    left_behind(tmp_path / FILE_NAME, b'{"seq":1,"ti')
    await fill(tmp_path, 1)

    assert verify(tmp_path) == good(tmp_path, 1, (Place(FILE_NAME, 1),))


async def test_a_torn_line_that_is_edited_or_removed_is_found(tmp_path: Path) -> None:
    await fill(tmp_path, 1)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes() + b'{"seq":2,"ti')
    await fill(tmp_path, 1)
    first, torn, second = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(first + torn.replace(b"ti", b"to") + second)
    assert verify(tmp_path).broken == Broken(Place(FILE_NAME, 2), "it is not as it was written")
    path.write_bytes(first + second)
    assert verify(tmp_path).broken == Broken(
        Place(FILE_NAME, 2), "the unfinished line that it says stands before it is missing"
    )


async def test_an_edited_last_line_stays_found_after_the_next_append(tmp_path: Path) -> None:
    await fill(tmp_path, 2)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7'))
    edited = Broken(Place(FILE_NAME, 2), "it is not as it was written")

    assert verify(tmp_path).broken == edited
    await fill(tmp_path, 1)
    assert verify(tmp_path).broken == edited


async def test_a_last_line_with_another_end_is_no_torn_one(tmp_path: Path) -> None:
    await fill(tmp_path, 2)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().removesuffix(b"\n") + b" ")

    assert verify(tmp_path).broken == Broken(Place(FILE_NAME, 2), "it is not as it was written")


async def test_a_long_torn_tail_blocks_nothing(tmp_path: Path) -> None:
    """Longer than what is read of the end at first, and than any line."""
    await fill(tmp_path, 2)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes() + b"x" * 300_000)
    await fill(tmp_path, 1)

    assert verify(tmp_path) == good(tmp_path, 3, (Place(FILE_NAME, 3),))


async def test_a_full_file_is_put_aside_and_the_chain_carried_over(tmp_path: Path) -> None:
    await fill(tmp_path, 7, SMALL_BYTES)

    assert [path.name for path in files(tmp_path)] == [
        "audit-000000001-000000003.jsonl",
        "audit-000000004-000000006.jsonl",
        FILE_NAME,
    ]
    written = lines(tmp_path)
    assert [line["seq"] for line in written] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["prev"] for line in written[1:]] == [line["hash"] for line in written[:-1]]
    assert verify(tmp_path) == good(tmp_path, 7)


@pytest.mark.parametrize("left", [None, b"", b'{"seq":4,"ti'], ids=["no new file", "an empty one", "a torn line"])
async def test_a_crash_during_rotation_loses_nothing(tmp_path: Path, left: bytes | None) -> None:
    await fill(tmp_path, 3, SMALL_BYTES)
    newest = tmp_path / FILE_NAME
    newest.rename(tmp_path / "audit-000000001-000000003.jsonl")
    if left is not None:
        left_behind(newest, left)
    torn = (Place(FILE_NAME, 1),) if left else ()

    assert verify(tmp_path) == good(tmp_path, 3, torn)
    await fill(tmp_path, 2, SMALL_BYTES)
    assert verify(tmp_path) == good(tmp_path, 5, torn)


@pytest.mark.parametrize("torn", [b'{"seq":4,"ti', b'{"seq":4,"ti\n'])
async def test_a_torn_file_is_put_aside_only_when_its_tear_is_told(tmp_path: Path, torn: bytes) -> None:
    await fill(tmp_path, 3, SMALL_BYTES)
    with (tmp_path / FILE_NAME).open("ab") as stream:
        stream.write(torn)
    await fill(tmp_path, 2, SMALL_BYTES)

    assert [path.name for path in files(tmp_path)] == ["audit-000000001-000000004.jsonl", FILE_NAME]
    assert verify(tmp_path) == good(tmp_path, 5, (Place("audit-000000001-000000004.jsonl", 4),))


async def test_a_full_file_that_cannot_be_put_aside_grows(tmp_path: Path) -> None:
    """Somebody put a folder where it should go."""
    (tmp_path / "audit-000000001-000000003.jsonl").mkdir()
    await fill(tmp_path, 4, SMALL_BYTES)

    assert len(lines_of(tmp_path / FILE_NAME)) == 4
    assert verify(tmp_path).lines == 4


@pytest.mark.parametrize("removed", [0, 1, 2])
async def test_a_removed_file_is_found(tmp_path: Path, removed: int) -> None:
    await fill(tmp_path, 10, SMALL_BYTES)
    old = files(tmp_path)
    old[removed].unlink()

    first = removed * 3 + 1
    reason = f"it has number {first + 3} where {first} belongs: lines were removed, moved or inserted"
    assert verify(tmp_path).broken == Broken(Place(old[removed + 1].name, 1), reason)


async def test_the_end_of_a_file_put_aside_cannot_be_cut_off_unseen(tmp_path: Path) -> None:
    """Not even if the newest file goes too."""
    await fill(tmp_path, 4, SMALL_BYTES)
    aside, newest = files(tmp_path)
    newest.unlink()
    aside.write_bytes(b"".join(lines_of(aside)[:2]))

    reason = "the log ends at number 2; this file's name promises 3"
    assert verify(tmp_path).broken == Broken(Place(aside.name, 2), reason)


@cache
def sample() -> dict[str, bytes]:
    """The files of a log of 10 lines, oldest first."""
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(fill, Path(folder), 10, SMALL_BYTES)
        return {path.name: path.read_bytes() for path in files(Path(folder))}


def first_difference(changed: dict[str, bytes]) -> Place:
    """The first line of `changed` that is not the line of the sample in its place."""
    before = [line for content in sample().values() for line in io.BytesIO(content)]
    now = [(Place(name, n), line) for name, content in changed.items() for n, line in enumerate(io.BytesIO(content), 1)]
    return next(place for (place, line), old in zip(now, before, strict=False) if line != old)


def verdict_on(changed: dict[str, bytes]) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in changed.items():
            (Path(folder) / name).write_bytes(content)
        return verify(Path(folder))


def test_the_sample_is_good() -> None:
    verdict = verdict_on(sample())

    assert (verdict.ok, verdict.lines, len(sample())) == (True, 10, 4)


def assert_found(changed: dict[str, bytes]) -> None:
    verdict = verdict_on(changed)
    expected = first_difference(changed)
    assert not verdict.ok
    assert verdict.broken
    assert verdict.broken.place == expected


@st.composite
def one_file(draw: st.DrawFn) -> tuple[str, int]:
    name = draw(st.sampled_from(list(sample())))
    return name, draw(st.integers(0, len(sample()[name]) - 1))


@hypothesis_settings(deadline=None, max_examples=80)
@given(where=one_file(), byte=st.integers(0, 255))
def test_any_changed_byte_is_found(where: tuple[str, int], byte: int) -> None:
    name, at = where
    content = sample()[name]
    if content[at] != byte:
        assert_found({**sample(), name: content[:at] + bytes([byte]) + content[at + 1 :]})


@hypothesis_settings(deadline=None, max_examples=60)
@given(where=one_file(), length=st.integers(1, 3))
def test_any_removed_bytes_are_found(where: tuple[str, int], length: int) -> None:
    """All but the log's very end, whose loss looks like a crash."""
    name, at = where
    content = sample()[name]
    if name != FILE_NAME or at + length < len(content):
        changed = {**sample(), name: content[:at] + content[at + length :]}
        assert verdict_on(changed).broken


@hypothesis_settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_removed_moved_or_inserted_line_is_found(data: st.DataObject) -> None:
    """In whatever files the lines stand afterwards; only lines cut off the end are not missed."""
    numbered = [(name, line) for name, content in sample().items() for line in io.BytesIO(content)]
    texts = [line for _, line in numbered]
    places = st.integers(0, len(texts) - 1)
    first, second = data.draw(st.lists(places, min_size=2, max_size=2, unique=True).map(sorted))
    match data.draw(st.sampled_from(["remove", "swap", "insert", "move"])):
        case "remove":
            texts[first] = b""
        case "swap":
            texts[first], texts[second] = texts[second], texts[first]
        case "insert":
            texts[first] += texts[second]
        case _:
            texts[second] += texts[first]
            texts[first] = b""
    changed = dict.fromkeys(sample(), b"")
    for (name, _), text in zip(numbered, texts, strict=True):
        changed[name] += text
    if any(line != old for line, old in zip(b"".join(changed.values()).splitlines(), whole_sample(), strict=False)):
        assert_found(changed)


def whole_sample() -> list[bytes]:
    return b"".join(sample().values()).splitlines()


def test_a_line_edited_with_its_own_hash_is_found_in_the_next() -> None:
    """Whoever edits a line can also seal it again, but not the chain."""
    content = sample()["audit-000000004-000000006.jsonl"]
    first, second, third = io.BytesIO(content)
    body = first[: first.index(b',"hash"')].replace(b'"number":3', b'"number":8') + b"}"
    forged = body[:-1] + b',"hash":"' + sha256(body).hexdigest().encode() + b'"}\n'
    verdict = verdict_on({**sample(), "audit-000000004-000000006.jsonl": forged + second + third})

    assert verdict.lines == 4
    assert verdict.broken == Broken(
        Place("audit-000000004-000000006.jsonl", 2),
        "it does not continue the line before it, which is another than it was",
    )


async def test_long_texts_are_cut_and_control_characters_escaped(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE_NAME, Clock())
    await log.append(
        "e" * 2001, "p" * 2000, nested={"k" * 2001: ["x" * 5000, 1, None]}, odd="\x00\x1b[2J\r\n\x7f\ud800"
    )

    (raw,) = lines_of(tmp_path / FILE_NAME)
    assert [byte for byte in raw[:-1] if byte < 0x20 or byte > 0x7E] == []
    line = json.loads(raw)
    assert (line["event"], line["plan_id"]) == ("e" * 1999 + "…", "p" * 2000)
    assert line["facts"] == {
        "nested": {"k" * 1999 + "…": ["x" * 1999 + "…", 1, None]},
        "odd": "\x00\x1b[2J\r\n\x7f\\ud800",
    }


async def test_too_many_facts_are_cut(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE_NAME, Clock())
    await log.append("😀" * 3000, "😀" * 3000, many=list(range(MAX_FACTS_CHARS)))
    await log.append("😀" * 3000, "😀" * 3000, many="x" * 10)

    start = json.dumps({"many": list(range(1000))}, separators=(",", ":"))[:1999]
    assert [line["facts"] for line in lines(tmp_path)] == [{"cut": start + "…"}, {"many": "x" * 10}]
    assert verify(tmp_path) == good(tmp_path, 2)


async def test_the_longest_line_can_be_verified(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE_NAME, Clock())
    whole = {f"k{n:02}": "x" * 1990 for n in range(99)}
    for _ in range(2):
        await log.append("😀" * 3000, "😀" * 3000, **whole)

    assert [line["facts"] for line in lines(tmp_path)] == [whole, whole]
    assert verify(tmp_path) == good(tmp_path, 2)


@pytest.mark.parametrize("facts", [{"number": float("nan")}, {"deep": json.loads("[" * 250 + "]" * 250)}])
async def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, facts: dict[str, Any]) -> None:
    with pytest.raises(AuditFailed):
        await AuditLog(tmp_path / FILE_NAME, Clock()).append("planned", "plan-1", **facts)

    assert files(tmp_path) == []


@posix_only
@pytest.mark.parametrize(("name", "right"), [(".", 700), (FILE_NAME, 600)])
async def test_a_log_that_others_can_use_is_refused_and_left_as_it_is(tmp_path: Path, name: str, right: int) -> None:
    path = tmp_path / "state" / FILE_NAME
    await AuditLog(path, Clock()).append("planned", "plan-1")
    before = path.read_bytes()
    loose = path.parent / name
    loose.chmod(0o777)
    with pytest.raises(AuditFailed) as failed:
        await AuditLog(path, Clock()).append("approved", "plan-1")

    assert f"(others can use {loose}, its mode is 0777; if they should not, chmod {right} it)" in failed.value.happened
    assert (path.read_bytes(), stat.S_IMODE(loose.stat().st_mode)) == (before, 0o777)


def a_folder(path: Path) -> None:
    path.parent.mkdir(0o700)
    path.mkdir()


def a_file_as_folder(path: Path) -> None:
    path.parent.write_text("", "utf-8")


def a_pipe(path: Path) -> None:
    path.parent.mkdir(0o700)
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (a_folder, "it is not a file"),
        pytest.param(a_file_as_folder, "File exists", marks=posix_only),
        pytest.param(a_pipe, "it is not a file", marks=posix_only),
    ],
)
async def test_what_cannot_be_recorded_is_not_sent(
    tmp_path: Path, obstacle: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "state" / FILE_NAME
    obstacle(path)
    with pytest.raises(AuditFailed) as failed:
        await AuditLog(path, Clock()).append("planned", "plan-1")

    assert isinstance(failed.value, NotSent)
    assert failed.value.explain("delete_platform") == (
        f"delete_platform was not sent. The change could not be recorded in {path} ({reason}), so it was not sent.\n"
        "Changed: nothing was changed.\n"
        f"Next: tell the user; once {path.parent} can be written to, start over"
    )


@posix_only
def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    """A limit on the file's size stops a write half-way, as a full disk does."""
    program = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (800, 800))\n"
        + WRITER.replace("anyio.run(main", "import aimlops_server.audit as audit\ntry: anyio.run(main")
        + "except audit.AuditFailed as failed: print(failed)"
    )
    command = [sys.executable, "-c", program, str(tmp_path), "plan-1", "9", "4000"]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True, text=True)

    told = [
        "0",
        "1",
        "2",
        f"The change could not be recorded in {tmp_path / FILE_NAME} (File too large), so it was not sent.",
    ]
    assert done.stdout.splitlines() == told
    assert verify(tmp_path) == good(tmp_path, 3)
    anyio.run(fill, tmp_path, 1)
    assert verify(tmp_path) == good(tmp_path, 4)


async def test_a_line_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, and for a new one its name in the folder."""
    synced: list[tuple[bool, int]] = []

    def record(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((stat.S_ISREG(found.st_mode), found.st_size))

    monkeypatch.setattr(os, "fsync", record)
    await fill(tmp_path, 2)

    first, second = lines_of(tmp_path / FILE_NAME)
    assert [size for regular, size in synced if regular] == [len(first), len(first + second)]
    assert [regular for regular, _ in synced] == ([True, True] if os.name == "nt" else [True, False, True])


async def test_a_disk_that_fails_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(tmp_path, 2)
    before = (tmp_path / FILE_NAME).read_bytes()

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(AuditFailed, match="Input/output error"):
            await fill(tmp_path, 1)

    assert (tmp_path / FILE_NAME).read_bytes() == before
    await fill(tmp_path, 1)
    assert verify(tmp_path) == good(tmp_path, 3)


async def test_a_process_that_never_lets_go_is_not_waited_for_without_end(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE_NAME, Clock(), lock_timeout_s=0.05)
    with filelock.FileLock(tmp_path / f"{FILE_NAME}.lock"), anyio.fail_after(LIMIT_S), pytest.raises(AuditFailed):
        await log.append("planned", "plan-1")

    assert files(tmp_path) == []


async def test_a_cancelled_append_is_finished_first(tmp_path: Path) -> None:
    """Cancelled before, while it waits for another process, and while it waits for its own."""
    log = AuditLog(tmp_path / FILE_NAME, Clock())
    passed = False
    with anyio.CancelScope() as scope:
        scope.cancel()
        await log.append("planned", "before")
        await anyio.lowlevel.checkpoint()
        passed = True
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            with filelock.FileLock(tmp_path / f"{FILE_NAME}.lock"):
                group.start_soon(log.append, "planned", "waiting")
                group.start_soon(log.append, "planned", "behind it")
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()

    assert not passed
    assert sorted(line["plan_id"] for line in lines(tmp_path)) == ["before", "behind it", "waiting"]
    assert verify(tmp_path) == good(tmp_path, 3)


async def test_a_copy_that_cannot_be_locked_can_be_verified(tmp_path: Path) -> None:
    """As on a read-only medium."""
    await fill(tmp_path, 2)
    (tmp_path / f"{FILE_NAME}.lock").unlink()
    (tmp_path / f"{FILE_NAME}.lock").mkdir()

    assert verify(tmp_path) == good(tmp_path, 2)


def test_a_log_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigurationError) as failed:
        verify(tmp_path)

    assert failed.value.happened == f"{tmp_path}: the audit log cannot be read: it is not a file"


def out_of(command: Callable[..., int], *arguments: Any) -> tuple[int, str]:
    """A command's exit code and what it wrote, as a console with another code page gets it."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="cp1252", newline="\n")
    code = command(arguments[0], out, *arguments[1:])
    out.flush()
    return code, raw.getvalue().decode("utf-8")


async def test_show_writes_the_newest_lines(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE_NAME, Clock())
    await log.append("planned", "plan-1")
    await log.append("declined", "plan-1", by="홍길동", how="form")
    await log.append("read-back", "plan\x1b[2J", state="\u202eDEPLOYED\x7f")

    assert out_of(show, tmp_path, 2) == (
        0,
        '     2  2026-09-21T14:13:20.000Z  declined  plan-1  {"by": "홍길동", "how": "form"}\n'
        '     3  2026-09-21T14:13:20.000Z  read-back  "plan\\u001b[2J"  {"state": "\\u202eDEPLOYED\\u007f"}\n',
    )


async def test_show_warns_of_a_broken_log(tmp_path: Path) -> None:
    await fill(tmp_path, 2)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7'))

    assert out_of(show, tmp_path, 1) == (
        1,
        "audit.jsonl line 2: not a whole line\n"
        "BROKEN at audit.jsonl line 2: it is not as it was written.\n"
        f"The 1 lines before it are unbroken, up to hash {json.loads(lines_of(path)[0])['hash']}.\n",
    )


async def test_verify_tells_torn_from_broken(tmp_path: Path) -> None:
    assert out_of(verify_command, tmp_path) == (0, f"There are no lines in {tmp_path}.\n")

    await fill(tmp_path, 2)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes() + b"{")
    last_hash = json.loads(lines_of(path)[1])["hash"]
    assert out_of(verify_command, tmp_path) == (
        0,
        "audit.jsonl line 3: unfinished, as a crash leaves it; no tampering.\n"
        f"The 2 lines are unbroken, up to hash {last_hash}.\n",
    )

    path.write_bytes(lines_of(path)[1])
    assert out_of(verify_command, tmp_path) == (
        1,
        "BROKEN at audit.jsonl line 1: it has number 2 where 1 belongs: lines were removed, moved or inserted.\n"
        f"The 0 lines before it are unbroken, up to hash {GENESIS}.\n",
    )


async def test_an_export_holds_every_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE_NAME, Clock(), max_bytes=SMALL_BYTES)
    for number in range(5):
        await log.append("shown", "plan-1", number=number, text='홍길동 says "a, b"\n')
    code, as_json = out_of(export, tmp_path, "json")
    csv_code, as_csv = out_of(export, tmp_path, "csv")

    written = lines(tmp_path)
    raw = [line.decode("ascii").removesuffix("\n") for path in files(tmp_path) for line in lines_of(path)]
    assert (code, csv_code) == (0, 0)
    assert as_json == "[\n" + ",\n".join(raw) + "\n]\n"
    assert json.loads(as_json) == written
    rows = [
        {**row, "seq": int(row["seq"]), "facts": json.loads(row["facts"])}
        for row in csv.DictReader(io.StringIO(as_csv))
    ]
    assert rows == [{**line, "torn": ""} for line in written]


def test_an_export_of_nothing_is_still_a_document(tmp_path: Path) -> None:
    assert out_of(export, tmp_path, "json") == (0, "[]\n")
    assert out_of(export, tmp_path, "csv") == (0, '"seq","time","event","plan_id","facts","prev","torn","hash"\n')


async def test_an_export_of_a_broken_log_says_so(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7'))

    code, as_json = out_of(export, tmp_path, "json")
    assert (code, [line["seq"] for line in json.loads(as_json)]) == (1, [1, 3])
    assert out_of(export, tmp_path, "csv")[0] == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
async def test_an_exported_cell_is_never_a_formula(tmp_path: Path, start: str) -> None:
    formula = start + "cmd|' /C calc'!A0"
    await AuditLog(tmp_path / FILE_NAME, Clock()).append(formula, formula, name=formula)
    _, as_csv = out_of(export, tmp_path, "csv")

    (row,) = csv.DictReader(io.StringIO(as_csv, newline=""))
    assert (row["event"], row["plan_id"], row["facts"]) == ("'" + formula, "'" + formula, json.dumps({"name": formula}))
