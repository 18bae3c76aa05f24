"""Plays a story (see run.py) with FastMCP's client, in an environment that has nothing else."""

import json
import sys
from typing import Any

import anyio
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport


async def play(server: dict[str, Any], calls: list[dict[str, Any]], answers: list[dict[str, Any]] | None) -> Any:
    asked: list[dict[str, Any]] = []

    async def answer(message: str, _: Any, params: Any, __: Any) -> Any:
        asked.append({"message": message, "requestedSchema": params.requested_schema})
        return ElicitResult(**(answers or [])[len(asked) - 1])

    transport = server["url"] if "url" in server else StdioTransport(**server)
    async with Client(transport, elicitation_handler=None if answers is None else answer) as client:
        tools = [tool.name for tool in await client.list_tools()]
        results: list[dict[str, Any]] = []
        for call in calls:
            result = await client.call_tool_mcp(**call)
            results.append(result.model_dump(mode="json", by_alias=True))
        return {"protocol": client.session.protocol_version, "tools": tools, "results": results, "asked": asked}


async def main() -> None:
    report = await play(**json.load(sys.stdin))
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    anyio.run(main)
