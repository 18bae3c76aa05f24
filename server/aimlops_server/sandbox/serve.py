"""The sandbox on a real port, for demonstrations and for tests of what only a network shows.

The one module that knows uvicorn. Loopback only: the sandbox's keys are published.
"""

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Generator
from typing import Any

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from aimlops_server.sandbox.app import Receive, Sandbox
from aimlops_server.sandbox.faults import ConnectionDropped

_SHUTDOWN_S = 2


async def serve(sandbox: Sandbox, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until cancelled. Port 0 lets the system choose; `ready` gets the base URL once requests are accepted.

    Raises:
        ValueError: the host is not a loopback address.
        OSError: the port is taken.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not _is_loopback(address):
        raise ValueError(f"the sandbox serves loopback addresses only, not {host!r}")
    version6 = ":" in address
    listener = socket.create_server((address, port), family=socket.AF_INET6 if version6 else socket.AF_INET)
    with listener:
        base_url = f"http://{f'[{address}]' if version6 else host}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            sandbox,
            http=_DroppingProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config, lambda: ready(base_url))
        try:
            await server.serve(sockets=[listener])
        finally:
            # uvicorn ends by its own flag, not by cancellation: without this, its connections would stay.
            with anyio.move_on_after(_SHUTDOWN_S, shield=True):
                await server.end()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class _DroppingProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, where the application can end a connection by raising ConnectionDropped."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: Any = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        application = self.app

        async def dropping(scope: Any, receive: Any, send: Any) -> None:
            try:
                await application(scope, receive, send)
            except ConnectionDropped:
                await self._drop(receive)

        self.app = dropping

    async def _drop(self, receive: Receive) -> None:
        if self.cycle.response_started:
            # Closes once the bytes so far are out, so that the caller sees a part of the answer.
            self.transport.close()
        else:
            # Without this an abort is an orderly end; with it the peer sees a reset, as from a broken gateway.
            connection: socket.socket = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        # uvicorn would answer 500 if this returned before it noticed the loss.
        while (await receive())["type"] != "http.disconnect":
            pass


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens and leaves signals to the program it is a part of."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def end(self) -> None:
        """Stop listening and drop every connection, so that hanging requests end too.

        Not uvicorn's shutdown(): that waits for connections to end by themselves, a tenth of a second at least.
        """
        if not self.started:
            return
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if answering := set(self.server_state.tasks):
            _, late = await asyncio.wait(answering, timeout=self.config.timeout_graceful_shutdown)
            for task in late:
                task.cancel()
