"""Carries a server over stdio or over HTTP on this machine, and ends it cleanly."""

import logging
import os
import select
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from types import FrameType
from typing import Any, cast

import anyio
import uvicorn  # costs nothing here: the SDK imports it in any case
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings

from aimlops_server.errors import ConfigurationError
from aimlops_server.in_flight import InFlight
from aimlops_server.settings import LOOPBACK_HOSTS

log = logging.getLogger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT)

# What is open gets this long after a signal: a question to the user would hold the process until they answer. A change
# that is out gets until its outcome is recorded, or until a second signal: then the next start looks.
SHUTDOWN_S = 1
_READ_BYTES = 64 * 1024


async def serve_stdio(server: Server[Any], in_flight: InFlight) -> None:
    """Serve one client until it closes stdin, or until a signal."""
    cleaned_up = anyio.Event()
    async with anyio.create_task_group() as group:
        if sys.platform != "win32":  # there, closing stdin is the way to end it
            group.start_soon(_end_on_signal, group.cancel_scope, cleaned_up, in_flight)
        async with stdio_server(*_own_pipes()) as (read, write):
            try:
                await server.run(read, write, server.create_initialization_options())
            finally:
                cleaned_up.set()
        group.cancel_scope.cancel()


class _Stdin:
    """Reads on the loop itself. The SDK reads each line in a thread, which took a tenth of a call's time."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    async def __aiter__(self) -> AsyncGenerator[str]:
        pieces: list[bytes] = []
        while True:
            if not select.select([self._pipe], [], [], 0)[0]:
                await anyio.wait_readable(self._pipe)
            piece = os.read(self._pipe, _READ_BYTES)
            *ends, begun = piece.split(b"\n")
            for end in ends:
                yield _text(pieces, end)
                pieces.clear()
            pieces.append(begun)
            if not piece:
                if last := _text(pieces, b""):
                    yield last
                return


def _text(pieces: list[bytes], end: bytes) -> str:
    return b"".join((*pieces, end)).decode("utf-8", "replace")


class _Stdout:
    """Writes on the loop itself. The SDK hands each line to two threads, which took a quarter of a call's time."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    async def write(self, text: str) -> None:
        rest = memoryview(text.encode())
        while rest:
            if not select.select([], [self._pipe], [], 0)[1]:
                await anyio.wait_writable(self._pipe)
            # No more than this is sure not to block a pipe that is ready.
            rest = rest[os.write(self._pipe, rest[: select.PIPE_BUF]) :]

    async def flush(self) -> None:
        """Nothing is held back."""


def _own_pipes() -> "tuple[anyio.AsyncFile[str] | None, anyio.AsyncFile[str] | None]":
    """The client's pipes, taken away from everybody else, as the SDK does: a print goes to stderr, stdin is empty."""
    if sys.platform == "win32":  # select knows sockets only: the SDK's way, which None stands for
        return None, None
    stdin, stdout = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # The SDK iterates over the one, and calls no more than these two methods of the other.
    return cast("anyio.AsyncFile[str]", _Stdin(stdin)), cast("anyio.AsyncFile[str]", _Stdout(stdout))


async def _end_on_signal(scope: anyio.CancelScope, cleaned_up: anyio.Event, in_flight: InFlight) -> None:
    with anyio.open_signal_receiver(*_ENDING) as signals:
        received = await anext(signals)
    for each in _ENDING:
        signal.signal(each, signal.SIG_DFL)  # the next one ends the process at once
    scope.cancel()
    with anyio.CancelScope(shield=True):
        # Leave after this, whatever hangs.
        with anyio.move_on_after(SHUTDOWN_S):
            await cleaned_up.wait()
        await _landed(in_flight)
    os._exit(128 + received)


async def _landed(in_flight: InFlight) -> None:
    if in_flight.any:
        log.warning("a change is out: waiting for its answer, to record it; a second signal ends this at once")
    await in_flight.none()


async def serve_http(
    server: Server[Any], host: str, port: int, in_flight: InFlight, ready: Callable[[str], None]
) -> None:
    """Serve Streamable HTTP at /mcp on a loopback address; port 0 lets the system choose.

    Raises:
        ConfigurationError: the address is not loopback, or cannot be bound.
    """
    if host not in LOOPBACK_HOSTS:
        raise ConfigurationError(
            f"--host must be one of {', '.join(sorted(LOOPBACK_HOSTS))}, not {host!r}: there is no log-in yet, so the "
            "server stays on this machine",
            "choose a loopback address",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port") from None
    port = listener.getsockname()[1]
    # Exact names: the SDK's own "host:*" is a prefix test, which a name such as 127.0.0.1:80.example.org passes.
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    app = server.streamable_http_app(
        host=host,
        transport_security=TransportSecuritySettings(
            allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
        ),
    )
    config = uvicorn.Config(app, log_level=logging.WARNING)
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp")
    await _HttpServer(config, in_flight).serve(sockets=[listener])


class _HttpServer(uvicorn.Server):
    """uvicorn's server, whose end has a limit: the SDK's clean-up of a session with an open question took 6 s."""

    def __init__(self, config: uvicorn.Config, in_flight: InFlight) -> None:
        super().__init__(config)
        self._in_flight = in_flight
        self._ended_by = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._ended_by:
            os._exit(128 + sig)
        self._ended_by = sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        with anyio.move_on_after(SHUTDOWN_S) as limit:
            await super().shutdown(sockets)
        await _landed(self._in_flight)
        if limit.cancelled_caught:
            os._exit(128 + self._ended_by)
