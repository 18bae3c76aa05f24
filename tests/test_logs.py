"""Log lines: text or JSON on stderr, and one id from a tool call to its requests."""

import json
import re

import pytest
from aimlops_server.logs import log_to_stderr
from aimlops_server.sandbox.app import Sandbox

from tests.world import Clock, session

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("own_logging")]


async def test_json_lines_carry_the_id_of_their_call(
    sandbox: Sandbox, clock: Clock, era: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr("json")
    async with session(sandbox, era, clock=clock) as client:
        await client.call_tool("list_platforms", {})
        await client.call_tool("list_images", {})

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [re.sub(r"in \d+ ms", "in N ms", line["message"]) for line in lines] == [
        "GET /v1/aimlops-platform: HTTP 200 in N ms",
        "GET /v1/aimlops-platform/images: HTTP 200 in N ms",
    ]
    first, second = (line["call"] for line in lines)
    assert re.fullmatch(r"[0-9a-f]{8}", first)
    assert first != second


async def test_text_lines_say_the_same(sandbox: Sandbox, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    async with session(sandbox, clock=clock) as client:
        await client.call_tool("list_platforms", {})

    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\S+Z?\+?\S* INFO aimlops_server\.client \[[0-9a-f]{8}\] GET /v1/aimlops-platform: HTTP 200 in \d+ ms", line
    )
