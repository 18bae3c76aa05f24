"""Follows platforms: one poller for each, however many calls wait for it or clients follow it.

Looks start close together and grow apart; a changed state, or someone who starts to wait, brings them close again.
"""

import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
from aimlops_tools.models.platforms import AiMlOpsPlatformDetailResponse, GetPlatform
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, Refused

FIRST_WAIT_S = 2.0
MAX_WAIT_S = 30.0
GROWTH = 1.5


@dataclass(frozen=True, slots=True)
class Look:
    """What one read showed; `error` is why it could not be read."""

    state: str
    platform: AiMlOpsPlatformDetailResponse | None = None
    error: AimlopsError | None = None


GONE = "GONE"
UNREADABLE = "UNREADABLE"


@dataclass(slots=True)
class _Watched:
    followers: int = 0
    waiting: list[MemoryObjectSendStream[Look]] = field(default_factory=list[MemoryObjectSendStream[Look]])
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    nap: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    wait_s: float = FIRST_WAIT_S


class Watcher:
    """The pollers of one server, in `group`. `changed` is told of each platform whose state is another than before."""

    def __init__(
        self,
        api: ApiClient,
        group: anyio.abc.TaskGroup,
        changed: Callable[[str], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._api = api
        self._group = group
        self._changed = changed
        self._sleep = sleep
        self._watched: dict[str, _Watched] = {}

    @contextmanager
    def following(self, *release_ids: str) -> Generator[None]:
        """Keep looking at these platforms while the context is open."""
        with ExitStack() as stack:
            for release_id in release_ids:
                stack.enter_context(self._one(release_id))
            yield

    @contextmanager
    def looks(self, release_id: str) -> Generator[MemoryObjectReceiveStream[Look]]:
        """Every look at this platform from now on."""
        send, receive = anyio.create_memory_object_stream[Look](math.inf)
        with send, receive, self._one(release_id) as watched:
            watched.waiting.append(send)
            watched.wait_s = FIRST_WAIT_S
            watched.nap.cancel()
            try:
                yield receive
            finally:
                watched.waiting.remove(send)

    @contextmanager
    def _one(self, release_id: str) -> Generator[_Watched]:
        watched = self._watched.get(release_id)
        if watched is None:
            watched = self._watched[release_id] = _Watched()
            self._group.start_soon(self._poll, release_id, watched)
        watched.followers += 1
        try:
            yield watched
        finally:
            watched.followers -= 1
            if not watched.followers:
                del self._watched[release_id]
                watched.scope.cancel()

    async def _poll(self, release_id: str, watched: _Watched) -> None:
        before: str | None = None
        with watched.scope:
            while True:
                look = await self.look(release_id)
                if before is not None and look.state not in {before, UNREADABLE}:
                    watched.wait_s = FIRST_WAIT_S
                    await self._changed(release_id)
                before = before if look.state == UNREADABLE else look.state
                for stream in watched.waiting:
                    stream.send_nowait(look)
                wait_s, watched.wait_s = watched.wait_s, min(watched.wait_s * GROWTH, MAX_WAIT_S)
                with anyio.CancelScope() as watched.nap:
                    await self._sleep(wait_s)

    async def look(self, release_id: str) -> Look:
        """One look, now."""
        try:
            platform = await self._api.read(GetPlatform(release_id=release_id))
        except Refused as refused:
            return Look(GONE if refused.status == 404 else UNREADABLE, error=refused)
        except AimlopsError as error:
            return Look(UNREADABLE, error=error)
        return Look(platform.release_state.upper(), platform)
