"""A server process to be killed: it says on stdout that it has reached a point, and stays there."""

import json
import sys
from typing import Any

import anyio
import httpx2
from aimlops_server.app import build_server
from aimlops_server.guard.ledger import Ledger
from aimlops_server.logs import log_to_stderr
from aimlops_server.settings import Settings
from mcp import Client
from mcp_types import ElicitResult

from tests.world import Person

POINTS = ("question", "approved", "started", "answered", "recorded")


class Fatal(BaseException):
    """What no handler expects: the process ends with a traceback."""


class Stops(httpx2.AsyncHTTPTransport):
    """The network, up to a point."""

    def __init__(self, point: str) -> None:
        super().__init__()
        self.point = point
        self.answered = False
        self.changed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.point == "approved" and self.answered:
            await stay("approved")  # at the second look
        if self.point == "recorded" and self.changed:
            await stay("recorded")  # at the read-back
        if request.method != "GET" and self.point == "started":
            await stay("started")
        response = await super().handle_async_request(request)
        self.changed = self.changed or request.method != "GET"
        if self.changed and self.point == "fatal":
            raise Fatal
        if self.changed and self.point == "answered":
            await stay("answered")
        return response


async def stay(point: str) -> None:
    sys.stdout.write(f"{point}\n")
    sys.stdout.flush()
    await anyio.sleep_forever()


async def until_killed(
    point: str, era: str, tool: str, arguments: dict[str, object], yes: dict[str, str | bool]
) -> None:
    transport = Stops(point)

    async def reply(_: object) -> ElicitResult:
        if point == "question":
            await stay("question")
        transport.answered = True
        return ElicitResult(action="accept", content={**yes})

    server = build_server(Settings.read(), transport=transport)
    async with Client(server, mode=era, elicitation_callback=Person(reply)) as client:  # pyright: ignore[reportArgumentType] reason: the SDK types mode as literals
        await client.call_tool(tool, arguments)


async def next_start(settings: Settings, tool: str, arguments: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Starts as the next process would, waits until nothing is unsettled, and makes the same call without a person.

    Returns each plan's status, and who decided, as they were before that call.
    """
    ledger = Ledger(settings.state_path, lambda: 0.0)
    server = build_server(settings, settle_waits_s=(0.0, 0.0))
    async with Client(server, mode="legacy") as client:
        account = f"of access key {(settings.access_key or '')[:4]}…"
        while await ledger.unsettled(settings.base_url, account):
            await anyio.lowlevel.checkpoint()
        rows = [(entry.status, entry.decided_by) for entry in await ledger.latest()]
        await client.call_tool(tool, arguments)
    await ledger.aclose()
    return rows


if __name__ == "__main__":
    log_to_stderr()
    point, era, tool, arguments, yes = sys.argv[1:]
    anyio.run(until_killed, point, era, tool, json.loads(arguments), json.loads(yes))
