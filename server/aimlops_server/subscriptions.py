"""Subscriptions to aimlops://platforms/{release_id}: a changed state reaches every client that asked for it.

Two protocol eras, one poller for each platform: `resources/subscribe` lasts until the client unsubscribes or its
connection ends, a `subscriptions/listen` call lasts as long as its stream.
"""

from contextlib import AsyncExitStack
from typing import Any

import anyio
from aimlops_tools.text import plain
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, EmptyResult, SubscriptionsListenRequestParams, SubscriptionsListenResult

from aimlops_server.resources import platform_uri, release_id_of
from aimlops_server.watching import Watcher

# One client that asks for more is not following platforms.
MAX_PER_CONNECTION = 50

Context = ServerRequestContext[Any]


class Subscriptions:
    """Who follows which platform. `watcher` tells `changed` of each new state."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._subscribed: dict[Connection, dict[str, AsyncExitStack]] = {}

    async def changed(self, release_id: str) -> None:
        """Tell everyone who follows this platform that it changed."""
        uri = platform_uri(release_id)
        await self._bus.publish(ResourceUpdated(uri=uri))
        for connection, followed in tuple(self._subscribed.items()):
            if uri in followed:
                await connection.send_resource_updated(uri)

    async def listen(
        self, watcher: Watcher, ctx: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one listen stream, polling its platforms meanwhile."""
        uris = params.notifications.resource_subscriptions or []
        if len(uris) > MAX_PER_CONNECTION:
            raise _too_many()
        with watcher.following(*map(_followed, uris)):
            return await self._listen(ctx, params)

    async def subscribe(self, watcher: Watcher, ctx: Context, uri: str) -> EmptyResult:
        """Follow one platform until `unsubscribe` or the end of the connection."""
        release_id = _followed(uri)
        connection = _connection(ctx)
        if connection not in self._subscribed:
            self._subscribed[connection] = {}
            connection.exit_stack.push_async_callback(self._forget, connection)
        followed = self._subscribed[connection]
        if len(followed) >= MAX_PER_CONNECTION and uri not in followed:
            raise _too_many()
        if uri not in followed:
            followed[uri] = AsyncExitStack()
            followed[uri].enter_context(watcher.following(release_id))
        return EmptyResult()

    async def unsubscribe(self, ctx: Context, uri: str) -> EmptyResult:
        """Follow it no more."""
        if following := self._subscribed.get(_connection(ctx), {}).pop(uri, None):
            await following.aclose()
        return EmptyResult()

    async def _forget(self, connection: Connection) -> None:
        with anyio.CancelScope(shield=True):
            for following in self._subscribed.pop(connection, {}).values():
                await following.aclose()


def _followed(uri: str) -> str:
    """The platform's id. Any other address is refused: its subscriber would wait for what never comes."""
    release_id = release_id_of(uri)
    if release_id is None:
        example = platform_uri("ID")
        raise MCPError(INVALID_PARAMS, f"Only a platform can be followed: {plain(uri, 200)} is not like {example}")
    return release_id


def _too_many() -> MCPError:
    return MCPError(INVALID_PARAMS, f"One client can follow {MAX_PER_CONNECTION} platforms")


def _connection(ctx: Context) -> Connection:
    # The one thing that lives as long as a client's connection; the SDK gives handlers no public way to it.
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]
