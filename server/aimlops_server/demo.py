"""The demonstration: a real MCP client over stdio provisions and removes a platform in the sandbox.

At a terminal the viewer answers the questions; otherwise (or with DEMO=auto)
they are answered by script, a wrong name included.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, cast

import anyio
from anyio import TemporaryDirectory
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import (
    CallToolResult,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    TextContent,
)
from rich.console import Console
from rich.json import JSON
from rich.panel import Panel
from rich.text import Text

PLATFORM_NAME = "team-vision"
# A create takes ten minutes of the sandbox's time: here one and a half seconds.
SPEED = 400.0
POLL_S = 0.25
MAX_POLLS = 120


class Demo:
    """One showing. `interactive`: the viewer answers."""

    def __init__(self, console: Console, *, interactive: bool) -> None:
        self.console = console
        self.interactive = interactive
        self.script: list[dict[str, Any]] = []

    async def run(self) -> None:
        """Tell the story; ends with an AssertionError if the server behaves otherwise than told."""
        self.heading("An MCP client connects over stdio to: scp-aimlops-mcp --sandbox")
        command = ["-m", "aimlops_server", "--sandbox", "--speed", str(SPEED)]
        async with TemporaryDirectory(prefix="scp-aimlops-demo-") as state:
            own = {"SCP_MCP_SECRET_DEMO": "only-for-the-sandbox-1", "SCP_MCP_STATE_DIR": state}
            parameters = StdioServerParameters(command=sys.executable, args=command, env={**os.environ, **own})
            await self.tell(parameters)
        self.heading("That was the sandbox: nothing left this machine")

    async def tell(self, parameters: StdioServerParameters) -> None:
        """The story, with one connection."""
        async with Client(stdio_client(parameters), elicitation_callback=self.answer) as client:
            tools = (await client.list_tools()).tools
            self.console.print(f"{len(tools)} tools: {', '.join(tool.name for tool in tools)}")
            release_id = await self.provision(client)
            if release_id:
                await self.remove(client, release_id)

    async def provision(self, client: Client) -> str | None:
        """From a wish to a running platform; None when the viewer says no."""
        self.heading("1. What can be installed, and is the name free?")
        images = await self.call(client, "list_images", {"size": 1})
        await self.call(client, "check_platform_name", {"release_name": PLATFORM_NAME})
        self.heading("2. Create it: the server plans, checks, and asks a person")
        create = {
            "ai_ml_ops_platform_create_request": {
                "release_name": PLATFORM_NAME,
                "ai_ml_ops_platform_type": "Enterprise",
                "image_id": images["contents"][0]["image_id"],
                "cluster_id": "a1d48dd8d3e5e2c386e698420defd030",
                "initial_user_email": "lead@example.com",
                "initial_user_password": "env:SCP_MCP_SECRET_DEMO",
            }
        }
        self.script = [{"confirm": True}]
        created = await self.call(client, "create_platform", create)
        if not created:
            return None
        release_id: str = created["platform"]["release_id"]
        self.heading("3. Follow it until it is deployed")
        await self.follow(client, release_id, until="DEPLOYED")
        return release_id

    async def remove(self, client: Client, release_id: str) -> None:
        """A delete refused for a wrong name, then the accepted one."""
        self.heading("4. Delete it: a person must type its name. First, a wrong one")
        self.script = [{"release_name": "team-visoin"}]
        if await self.call(client, "delete_platform", {"release_id": release_id}, expect_error=True):
            return  # the viewer typed the right name at once
        self.heading("5. Delete it, with the right name")
        self.script = [{"release_name": PLATFORM_NAME}]
        if await self.call(client, "delete_platform", {"release_id": release_id}):
            await self.follow(client, release_id, until="gone")

    async def follow(self, client: Client, release_id: str, until: str) -> None:
        """Poll the platform, as an assistant would, and show each new state."""
        shown = ""
        with self.console.status("waiting for the sandbox"):
            for _ in range(MAX_POLLS):
                result = await client.call_tool("get_platform", {"release_id": release_id})
                content: dict[str, Any] = result.structured_content or {}
                state = str(content.get("release_state", "gone" if "HTTP 404" in _text(result) else "unknown"))
                if state != shown:
                    self.console.print(f"  [cyan]get_platform[/] → release_state [bold]{state}[/]")
                    shown = state
                if state == until:
                    return
                await anyio.sleep(POLL_S)
        raise AssertionError(f"the platform did not become {until}")

    async def call(
        self, client: Client, name: str, arguments: dict[str, Any], *, expect_error: bool = False
    ) -> dict[str, Any]:
        """Call a tool and show the call and its result; {} for an error."""
        self.console.print(f"[bold cyan]→ {name}[/]", _as_json(arguments))
        result = await client.call_tool(name, arguments)
        if result.is_error:
            self.console.print(Panel(Text(_text(result)), title=f"{name}: error", border_style="red"))
            if not (expect_error or self.interactive):
                raise AssertionError(f"{name} failed")
            return {}
        if expect_error and not self.interactive:
            raise AssertionError(f"{name} went through with a wrong name")
        content: dict[str, Any] = result.structured_content or {}
        self.console.print(f"[green]← {name}[/]", _as_json(content))
        return content

    async def answer(
        self, context: ClientRequestContext, params: ElicitRequestFormParams | ElicitRequestURLParams
    ) -> ElicitResult:
        """What a client does with the server's question: show it, and let the person fill in the form."""
        if not isinstance(params, ElicitRequestFormParams):
            return ElicitResult(action="cancel")
        panel = Panel(Text(params.message), title="The server asks the person", border_style="yellow")
        self.console.print(panel)
        form = params.model_dump(mode="json", by_alias=True)["requestedSchema"]["properties"]
        scripted = self.script.pop(0) if self.script else {}
        content: dict[str, Any] = {}
        for field, about in form.items():
            if self.interactive:
                typed = await anyio.to_thread.run_sync(self._ask, about, abandon_on_cancel=True)
                content[field] = typed.lower() in {"y", "yes"} if about["type"] == "boolean" else typed
            else:
                content[field] = scripted.get(field, "")
                self.console.print(f"[yellow]{about['title']}:[/] {_as_typed(content[field])}")
        return ElicitResult(action="accept", content=content)

    def _ask(self, about: Mapping[str, str]) -> str:
        hint = " (y/n)" if about["type"] == "boolean" else ""
        return self.console.input(f"[yellow]{about['title']}{hint}:[/] ").strip()

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{text}[/]", align="left")


async def run_demo() -> None:
    """Show it on this terminal."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("DEMO") != "auto"
    await Demo(Console(), interactive=interactive).run()


def _text(result: CallToolResult) -> str:
    return " ".join(content.text for content in result.content if isinstance(content, TextContent))


def _as_typed(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _for_the_screen(value: Any) -> Any:
    """The password hidden, long texts cut."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {k: "•••" if k == "initial_user_password" else _for_the_screen(v) for k, v in fields.items()}
    if isinstance(value, list):
        return [_for_the_screen(item) for item in cast("list[Any]", value)]
    return value[:77] + "…" if isinstance(value, str) and len(value) > 78 else value


def _as_json(value: dict[str, Any]) -> JSON:
    return JSON(json.dumps(_for_the_screen(value), ensure_ascii=False))
