"""The small world of the tests: a clock moved by hand, a sandbox, a person who answers, and a real client."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
from aimlops_server.app import build_server
from aimlops_server.audit import AuditLog
from aimlops_server.client import Retries
from aimlops_server.guard.desk import Desk
from aimlops_server.guard.ledger import Ledger
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox
from aimlops_server.sandbox.neighbours import seed as there
from aimlops_server.sandbox.seed import ENTERPRISE_IMAGE_ID, FREE_CLUSTER_ID
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.settings import Settings
from aimlops_server.vault import Vault
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitRequestURLParams, ElicitResult, TextContent
from pydantic import SecretStr

ERAS = ("legacy", "2026-07-28")
ENDPOINT = "https://aimlops-platform.kr-west1.e.samsungsdscloud.com"
PASSWORD = "canary-password-7Xq"
PASSWORD_REFERENCE = "env:SCP_MCP_SECRET_TEST"
SECRETS = {PASSWORD_REFERENCE: SecretStr(PASSWORD)}
# Plain HTTP needs none, and reading the system's takes 40 ms each time.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Retries at once: what is tested is whether and how often, not how long.
AT_ONCE = Retries(first_wait_s=0.0, max_wait_s=0.0, jitter_s=0.0)


# Enough for what is read to reach the one who waits for it, through some tasks in between.
TURNS = 10


@dataclass
class Clock:
    """Unix seconds, moved by hand."""

    now_s: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def ms(self) -> int:
        return int(self.now_s * 1000)

    async def sleep(self, seconds: float) -> None:
        """Passes at once, by this clock alone, after whoever waits for something had a turn."""
        for _ in range(TURNS):
            await anyio.lowlevel.checkpoint()
        self.now_s += seconds


@dataclass
class Held:
    """A poller's sleep that lasts until the test ends it."""

    clock: Clock
    slept: list[float] = field(default_factory=list[float])
    sleeping: int = 0
    _go: anyio.Event = field(default_factory=anyio.Event)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.sleeping += 1
        try:
            await self._go.wait()
        finally:
            self.sleeping -= 1
        self.clock.now_s += seconds

    async def end(self) -> None:
        self._go.set()
        self._go = anyio.Event()
        await anyio.wait_all_tasks_blocked()


def make_sandbox(clock: Clock, **options: Any) -> Sandbox:
    return Sandbox(clock_s=clock, **options)


def settings(**values: Any) -> Settings:
    """The settings of a person who set keys and nothing else."""
    return Settings.read(**{"access_key": ACCESS_KEY, "secret_key": SecretStr(SECRET_KEY), **values})


Reply = Callable[[ElicitRequestFormParams], ElicitResult | Awaitable[ElicitResult]]


@dataclass
class Person:
    """Answers each question with `reply` and remembers what was asked."""

    reply: Reply
    asked: list[ElicitRequestFormParams] = field(default_factory=list[ElicitRequestFormParams])

    async def __call__(
        self, context: ClientRequestContext, params: ElicitRequestFormParams | ElicitRequestURLParams
    ) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params)
        answer = self.reply(params)
        return answer if isinstance(answer, ElicitResult) else await answer


def says(content: Mapping[str, Any]) -> Person:
    """A person who accepts with this content."""
    return Person(lambda _: ElicitResult(action="accept", content=dict(content)))


def agrees() -> Person:
    """A person who says yes to what can be answered with yes."""
    return says({"confirm": True})


def declines() -> Person:
    return Person(lambda _: ElicitResult(action="decline"))


@asynccontextmanager
async def session(
    sandbox: Sandbox,
    era: str = "2026-07-28",
    person: Person | None = None,
    *,
    clock: Clock,
    transport: httpx2.AsyncBaseTransport | None = None,
    network: bool = False,
    open_browser: Callable[[str], bool] = lambda _: False,
    poll_sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    hears: Callable[[object], Awaitable[None]] | None = None,
    **values: Any,
) -> AsyncGenerator[Client]:
    """A client connected to a server whose network is the sandbox, `transport`, or with `network` the real one.

    `hears` is told of each notification of the handshake era.
    """
    server = build_server(
        settings(**{"approval_wait_s": 0, **values}),
        transport=None if network else transport or SandboxTransport(sandbox),
        clock_ms=clock.ms,
        clock_s=clock,
        retries=AT_ONCE,
        settle_waits_s=(0.0, 0.0),
        open_browser=open_browser,
        poll_sleep=poll_sleep,
    )
    async with Client(server, mode=era, elicitation_callback=person, message_handler=hears) as client:  # pyright: ignore[reportArgumentType] reason: the SDK types mode as literals
        yield client


def make_desk(ledger: Ledger, directory: Path, clock: Clock, vault: Vault | None = None) -> Desk:
    """A desk whose audit log is in `directory`."""
    return Desk(ledger, vault or Vault({}, None), AuditLog(directory / "audit.jsonl", clock))


def text_of(result: CallToolResult) -> str:
    """The one text of a result."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def create_arguments(**changes: Any) -> dict[str, Any]:
    """A create on an existing cluster that the sandbox accepts."""
    platform = {
        "release_name": "new-platform",
        "ai_ml_ops_platform_type": "Enterprise",
        "image_id": ENTERPRISE_IMAGE_ID,
        "cluster_id": FREE_CLUSTER_ID,
        "initial_user_email": "user@example.com",
        "initial_user_password": PASSWORD_REFERENCE,
    }
    return {"ai_ml_ops_platform_create_request": {**platform, **changes}}


NEW_CLUSTER: dict[str, Any] = {
    "kubernetes_engine_create_request": {
        "kubernetes_engine_name": "new-cluster",
        "k8s_version": there.KUBERNETES_VERSION,
        "vpc_id": there.MAIN_VPC_ID,
        "subnet_id": there.MAIN_SUBNET_ID,
        "security_group_id_list": [there.SECURITY_GROUP_ID],
        "volume_id": there.NFS_VOLUME_ID,
    },
    "node_pool_create_request": {
        "name": "pool-1",
        "image_os": "ubuntu",
        "image_os_version": "22.04",
        "server_type_id": there.SERVER_TYPE_ID,
        "volume_type_name": there.VOLUME_TYPE_NAME,
        "volume_size": there.MIN_VOLUME_GB,
        "keypair_name": there.KEYPAIR_NAME,
        "desired_node_count": 3,
    },
}
