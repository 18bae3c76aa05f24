"""The demonstration: a real MCP client over stdio provisions and removes a platform in the sandbox.

At a terminal the viewer answers the questions; otherwise (or with DEMO=auto)
they are answered by script, a wrong name included.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

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
SECOND_NAME = "team-speech"
# A create on a new cluster takes fifty minutes of the sandbox's time: here two seconds.
SPEED = 1500.0
# The one zone that was ever seen; no look-up tells them.
ZONE = "kr-west1-a"
OPTIONS_SHOWN = 3
MAX_WAITS = 5

Request = dict[str, dict[str, Any]]


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
            own = {
                "SCP_API_VERSION": "1.2",
                "SCP_MCP_SECRET_DEMO": "only-for-the-sandbox-1",
                "SCP_MCP_STATE_DIR": state,
            }
            parameters = StdioServerParameters(command=sys.executable, args=command, env={**os.environ, **own})
            with (Path(state) / "server.log").open("w+", encoding="utf-8") as log:
                try:
                    await self.tell(parameters, log)
                except BaseException:
                    log.seek(0)
                    self.console.print(Text(log.read()))
                    raise
        self.heading("That was the sandbox: nothing left this machine")

    async def tell(self, parameters: StdioServerParameters, log: TextIO) -> None:
        """The story, with one connection."""
        async with Client(stdio_client(parameters, log), elicitation_callback=self.answer) as client:
            tools = (await client.list_tools()).tools
            self.console.print(f"{len(tools)} tools: {', '.join(tool.name for tool in tools)}")
            await self.call(client, "check_setup", {})
            release_id = await self.on_existing_cluster(client)
            if release_id:
                await self.remove(client, release_id)
            await self.on_new_cluster(client)

    async def on_existing_cluster(self, client: Client) -> str | None:
        """From a wish to a running platform; None when the viewer says no."""
        self.heading("1. What can be installed, where, and is the name free?")
        request = await self.begin(client, PLATFORM_NAME)
        # By name: a cluster that is still being made may be ready, and listed first, by the time of this question.
        await self.choose(client, request, "clusters", contains="free-cluster")
        await self.call(client, "check_platform_name", {"release_name": PLATFORM_NAME})
        self.heading("2. Create it: the server plans, checks, and asks a person")
        self.script = [{"confirm": True}]
        created = await self.call(client, "create_platform", request)
        if not created:
            return None
        self.heading("3. Follow it until it is deployed")
        return await self.follow(client, created["platform"]["release_id"], "deployed")

    async def remove(self, client: Client, release_id: str) -> None:
        """A delete refused for a wrong name, then the accepted one."""
        self.heading("4. Delete it: a person must type its name. First, a wrong one")
        self.script = [{"release_name": "team-visoin"}]
        if await self.call(client, "delete_platform", {"release_id": release_id}, expect_error=True):
            return  # the viewer typed the right name at once
        self.heading("5. Delete it, with the right name")
        self.script = [{"release_name": PLATFORM_NAME}]
        if await self.call(client, "delete_platform", {"release_id": release_id}):
            await self.follow(client, release_id, "deleted")

    async def on_new_cluster(self, client: Client) -> None:
        """The same with a cluster of its own, every value from a look-up, and a mistake that a dry run finds."""
        self.heading("6. Another one, on a new cluster: every value comes from a look-up")
        request = await self.begin(client, SECOND_NAME)
        engine = request["kubernetes_engine_create_request"] = {"kubernetes_engine_name": f"{SECOND_NAME}-k8s"}
        pool = request["node_pool_create_request"] = {
            "name": "pool-1",
            "desired_node_count": 3,
            "volume_size": 104,
            "zone": ZONE,
        }
        for kind in ("kubernetes_versions", "vpcs"):
            await self.choose(client, request, kind)
        vpc = {"vpc_id": engine["vpc_id"]}
        subnets = await self.choose(client, request, "subnets", **vpc)
        for kind in ("security_groups", "file_volumes", "server_types", "keypairs", "volume_types"):
            await self.choose(client, request, kind)
        fitting = {"kubernetes_version": engine["k8s_version"], "server_type_id": pool["server_type_id"]}
        await self.choose(client, request, "node_images", **fitting)
        self.heading(
            "7. Two mistakes: too few nodes, and a subnet of another VPC. The dry run finds both, with the fix"
        )
        right = engine["subnet_id"]
        engine["subnet_id"] = next(each["value"] for each in subnets if "it is in VPC" in str(each.get("unsuitable")))
        plan = (await self.call(client, "create_platform", {**request, "dry_run": True}, show=_failures))["plan"]
        failed = {check["name"] for check in plan["checks"] if check["finding"] == "fail"}
        if not {"subnet", "size"} <= failed:
            raise AssertionError(f"the dry run found {failed}")
        self.heading("8. Mended, confirmed by a person, created")
        engine["subnet_id"] = right
        pool["desired_node_count"] = 6
        self.script = [{"confirm": True}]
        created = await self.call(client, "create_platform", request)
        if created:
            await self.follow(client, created["platform"]["release_id"], "deployed")

    async def begin(self, client: Client, name: str) -> Request:
        """The request of a platform, as far as it needs no look-up."""
        images = await self.call(client, "list_images", {"size": 1})
        platform = {
            "release_name": name,
            "ai_ml_ops_platform_type": "Enterprise",
            "image_id": images["contents"][0]["image_id"],
            "ai_ml_ops_platform_endpoint_type": "Private",
            "initial_user_email": "lead@example.com",
            "initial_user_password": "env:SCP_MCP_SECRET_DEMO",
        }
        return {"ai_ml_ops_platform_create_request": platform}

    async def choose(self, client: Client, request: Request, kind: str, **chosen: str) -> list[dict[str, Any]]:
        """Put the first suitable option of a kind where it belongs; returns all options."""
        found = await self.call(client, "find_options", {"kind": kind, **chosen}, show=_labels)
        options: list[dict[str, Any]] = found["options"]
        best = next(option for option in options if not option.get("unsuitable"))
        for path, value in best["sets"].items():
            owner, _, field = path.partition(".")
            request[owner][field] = [value] if field.endswith("_list") else value
        return options

    async def follow(self, client: Client, release_id: str, until: str) -> str:
        """Wait as an assistant would: call again while it is not there yet."""
        for _ in range(MAX_WAITS):
            with self.console.status("waiting for the sandbox"):
                arguments = {"release_id": release_id, "until": until}
                waited = await self.call(client, "wait_for_platform", arguments, show=_waited)
            if waited["reached"]:
                return release_id
        raise AssertionError(f"the platform was not {until}")

    async def call(
        self,
        client: Client,
        name: str,
        arguments: Mapping[str, Any],
        *,
        expect_error: bool = False,
        show: Callable[[dict[str, Any]], object] = lambda content: _as_json(content),
    ) -> dict[str, Any]:
        """Call a tool and show the call and its result; {} for an error."""
        self.console.print(f"[bold cyan]→ {name}[/]", _as_json(arguments))
        result = await client.call_tool(name, dict(arguments))
        if result.is_error:
            self.console.print(Panel(Text(_text(result)), title=f"{name}: error", border_style="red"))
            if not (expect_error or self.interactive):
                raise AssertionError(f"{name} failed")
            return {}
        if expect_error and not self.interactive:
            raise AssertionError(f"{name} went through with a wrong name")
        content: dict[str, Any] = result.structured_content or {}
        self.console.print(f"[green]← {name}[/]", show(content))
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


def _labels(found: dict[str, Any]) -> Text:
    """The first options, and why one will not do."""
    lines = [
        option["label"] + (f" – not suitable: {'; '.join(option['unsuitable'])}" if option.get("unsuitable") else "")
        for option in found["options"][:OPTIONS_SHOWN]
    ]
    rest = found["total"] - len(lines)
    return Text("\n".join(["", *lines, *([f"and {rest} more"] if rest > 0 else [])]))


def _failures(done: dict[str, Any]) -> Text:
    """What did not pass, and what mends it."""
    failed = [check for check in done["plan"]["checks"] if check["finding"] != "pass"]
    lines = [f"{each['name']}: {each['finding']} – {each['detail']} → {each.get('fix', '')}" for each in failed]
    return Text("\n".join(["", *lines, f"{len(done['plan']['checks']) - len(failed)} others passed"]))


def _waited(waited: dict[str, Any]) -> JSON:
    return _as_json({key: value for key, value in waited.items() if key != "platform"})


def _as_json(value: Mapping[str, Any]) -> JSON:
    return JSON(json.dumps(_for_the_screen(value), ensure_ascii=False))
