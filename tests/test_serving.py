"""The server's end of stdin, on a real pipe: lines come whole and in order, however the client's writes cut them."""

import os
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import pytest
from aimlops_server.serving import _READ_BYTES, _Stdin  # pyright: ignore[reportPrivateUsage] reason: the SDK sees no more
from hypothesis import example, given
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has the SDK's way")

LIMIT_S = 10

lines = st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=30), max_size=8)


async def received(pieces: list[bytes]) -> list[str]:
    """What is read while the pieces are written one by one, and then the end."""
    ours, theirs = os.pipe()

    async def write() -> None:
        try:
            for piece in pieces:
                await anyio.wait_writable(theirs)
                await anyio.to_thread.run_sync(os.write, theirs, piece)
        finally:
            os.close(theirs)

    try:
        with anyio.fail_after(LIMIT_S):
            async with anyio.create_task_group() as group:
                group.start_soon(write)
                return [line async for line in cast("AsyncIterator[str]", _Stdin(ours))]
    finally:
        os.close(ours)
    raise AssertionError("a task group does not swallow its body's return")


def run(pieces: list[bytes]) -> list[str]:
    return anyio.run(received, pieces)


@given(lines, st.text("xyz", max_size=5), st.data())
@example(["x" * (2 * _READ_BYTES), ""], "half", None)
def test_lines_come_whole_however_they_are_cut(whole: list[str], unfinished: str, data: Any) -> None:
    """Also what is left without a line end when the client closes: the SDK's own way hands it on, too."""
    text = "".join(f"{line}\n" for line in whole) + unfinished
    sent = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6))) if data else []
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]

    assert run(pieces) == [*whole, *([unfinished] if unfinished else [])]


def test_what_is_not_utf_8_spoils_its_own_line_alone() -> None:
    assert run([b"a\xff\n", b"b\n"]) == ["a\ufffd", "b"]


def test_waiting_for_a_line_can_be_cancelled() -> None:
    async def cancelled() -> bool:
        ours, theirs = os.pipe()
        try:
            with anyio.move_on_after(0.01) as scope:
                await anext(aiter(cast("AsyncIterator[str]", _Stdin(ours))))
            return scope.cancelled_caught
        finally:
            os.close(ours)
            os.close(theirs)

    assert anyio.run(cancelled)


def test_a_file_is_read_to_its_end(tmp_path: Any) -> None:
    """As in `scp-aimlops-mcp < file`: no event loop can wait for a file, and none has to."""
    file = tmp_path / "messages"
    file.write_text("one\ntwo\n", "utf-8")

    async def read() -> list[str]:
        with file.open("rb") as stream:
            return [line async for line in cast("AsyncIterator[str]", _Stdin(stream.fileno()))]

    assert anyio.run(read) == ["one", "two"]
