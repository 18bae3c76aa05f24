"""What stands at the wire in the client's tests: transports that record or answer, and the sandbox on a real port."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
import httpx2
from aimlops_server.client import ApiClient, Retries, open_client
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.serve import serve
from aimlops_server.sandbox.transport import SandboxTransport

from tests.world import AT_ONCE, Clock, settings

LIMIT_S = 10


@asynccontextmanager
async def client_of(
    transport: httpx2.AsyncBaseTransport | None, clock: Clock, retries: Retries = AT_ONCE, **values: object
) -> AsyncGenerator[ApiClient]:
    """A real client whose network is `transport`, None for the real one; leaving it must not take long."""
    with anyio.fail_after(LIMIT_S):
        async with open_client(settings(**values), clock.ms, transport=transport, retries=retries) as api:
            yield api


@asynccontextmanager
async def serving(sandbox: Sandbox) -> AsyncGenerator[str]:
    """The sandbox's base URL on a real port while it is served."""
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as tasks:

            async def run(*, task_status: anyio.abc.TaskStatus[str]) -> None:
                await serve(sandbox, "127.0.0.1", 0, task_status.started)

            yield await tasks.start(run)
            tasks.cancel_scope.cancel()


@dataclass
class Recorder(httpx2.AsyncBaseTransport):
    """Keeps each request that passes to the sandbox; `moves` the clock before each, by a second."""

    inner: SandboxTransport
    clock: Clock
    requests: list[httpx2.Request] = field(default_factory=list[httpx2.Request])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        response = await self.inner.handle_async_request(request)
        self.clock.now_s += 1
        return response


class Bytes(httpx2.AsyncByteStream):
    """A body in the given pieces, which counts what was taken of it."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece


@dataclass
class Service(httpx2.AsyncBaseTransport):
    """Answers each request with what `reply` makes of it, and counts them."""

    reply: Callable[[httpx2.Request], httpx2.Response]
    requests: list[httpx2.Request] = field(default_factory=list[httpx2.Request])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.reply(request)


def answers(status: int, body: bytes | str = b"", **headers: str) -> Service:
    """A service that always answers the same; `_` in a header's name is a hyphen."""
    raw = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Service(lambda _: httpx2.Response(status, headers=named, stream=Bytes(raw)))
