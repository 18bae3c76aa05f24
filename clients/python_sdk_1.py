"""Plays a story (see run.py) with the client of the Python SDK 1.x, in an environment that has nothing else."""

import json
import sys
from contextlib import AsyncExitStack
from typing import Any

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.context import RequestContext
from mcp.types import ElicitRequestParams, ElicitResult


async def play(server: dict[str, Any], calls: list[dict[str, Any]], answers: list[dict[str, Any]] | None) -> Any:
    asked: list[dict[str, Any]] = []

    async def answer(_: RequestContext[ClientSession, Any], params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.model_dump(mode="json", by_alias=True, include={"message", "requestedSchema"}))
        return ElicitResult(**(answers or [])[len(asked) - 1])

    async with AsyncExitStack() as stack:
        if "url" in server:
            read, write, _ = await stack.enter_async_context(streamable_http_client(server["url"]))
        else:
            read, write = await stack.enter_async_context(stdio_client(StdioServerParameters(**server)))
        callback = None if answers is None else answer
        session = await stack.enter_async_context(ClientSession(read, write, elicitation_callback=callback))
        protocol = (await session.initialize()).protocolVersion
        tools = [tool.name for tool in (await session.list_tools()).tools]
        results = [(await session.call_tool(**call)).model_dump(mode="json", by_alias=True) for call in calls]
    return {"protocol": protocol, "tools": tools, "results": results, "asked": asked}


async def main() -> None:
    report = await play(**json.load(sys.stdin))
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    anyio.run(main)
