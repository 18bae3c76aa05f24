"""The least that an MCP server can do here: one tool, written by hand with the SDK, that makes one signed call."""

from typing import Any

from mcp.server.mcpserver import MCPServer

from benchmarks.signed import client

http = client()
# The SDK's default shows httpx2's log line of each call, and where rich is installed that takes as long as the call.
server = MCPServer("minimal", log_level="WARNING")


@server.tool()
async def list_platforms(size: int = 20, page: int = 0) -> dict[str, Any]:
    """List the account's AI&MLOps platforms, with ids, states and clusters."""
    answer = await http.get("/v1/aimlops-platform", params={"size": size, "page": page})
    return answer.raise_for_status().json()


if __name__ == "__main__":
    server.run()
