"""The simulated API and its neighbours as an ASGI application: takes a request, decides its answer, and delivers it,
faults included.

Knows ASGI and the order of the outer checks (edge, credentials, path, version). Knows no web framework, no client, and
nothing of how the service decides beyond that: that is in `rules`.
"""

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from pydantic import JsonValue

from aimlops_server.sandbox import rules
from aimlops_server.sandbox.faults import ConnectionDropped, Fault, FaultKind, Faults
from aimlops_server.sandbox.profile import LIVE, Profile
from aimlops_server.sandbox.replies import (
    TEXT,
    Ids,
    Refusal,
    Reply,
    firewall_reply,
    json_reply,
    not_enabled_reply,
    refusal_reply,
    spring_reply,
)
from aimlops_server.sandbox.routes import (
    PRODUCT,
    Address,
    Route,
    find_address,
    find_route,
    is_known_path,
    served_version,
    versions_of,
)
from aimlops_server.sandbox.seed import seeded_world
from aimlops_server.sandbox.verify import Verdict, signed_urls, verify
from aimlops_server.sandbox.world import World

ACCESS_KEY = "SANDBOXACCESSKEY"
SECRET_KEY = "sandbox-secret-key-not-a-real-one"

CHANGING_METHODS = frozenset({"POST", "PUT", "DELETE"})
_CHUNK_BYTES = 64 * 1024

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came in, and the status it was answered with: None while unanswered, and when dropped."""

    method: str
    target: str
    version: str | None
    body: bytes = field(repr=False)  # may hold a password
    status: int | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    scheme: str
    raw_path: str
    raw_query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    @property
    def target(self) -> str:
        return f"{self.raw_path}?{self.raw_query}" if self.raw_query else self.raw_path

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Sandbox:
    """One simulated account. `world_clock_s` drives the platforms; without it they follow `clock_s`."""

    def __init__(
        self,
        *,
        clock_s: Callable[[], float] = time.time,
        world_clock_s: Callable[[], float] | None = None,
        profile: Profile = LIVE,
        keys: Mapping[str, str] | None = None,
        randomness: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.faults = Faults()
        self.world: World = seeded_world(world_clock_s or clock_s)
        self.seen: deque[SeenRequest] = deque(maxlen=10_000)
        self.clock_s = clock_s
        self._profile = profile
        self._keys = {ACCESS_KEY: SECRET_KEY} if keys is None else dict(keys)
        # A fixed start, so that a run repeats: no id here protects anything.
        self._ids = Ids(randomness or random.Random("aimlops-sandbox"))  # noqa: S311  # see above
        self._sleep = sleep
        self._burst: deque[float] = deque()

    @property
    def changes(self) -> tuple[SeenRequest, ...]:
        """The requests that ask for a change, in order."""
        return tuple(request for request in self.seen if request.method in CHANGING_METHODS)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            request = await _read(scope, receive)
            if request is not None:
                await self._serve(request, receive, send)
        else:
            raise NotImplementedError(f"the sandbox serves HTTP, not {scope['type']}")

    async def _serve(self, request: _Request, receive: Receive, send: Send) -> None:
        seen = SeenRequest(request.method, request.target, request.header("scp-api-version"), request.body)
        self.seen.append(seen)
        address = find_address(request.header("host") or "", request.raw_path)
        route = find_route(request.method, address.path, address.service)
        fault = None if request.method == "OPTIONS" else self.faults.take(request.method, route and route.name)
        if fault is None:
            reply = self._answer(request, address, route)
        elif fault.kind is FaultKind.HANG:
            await _until_disconnect(receive)
            return
        elif fault.kind is FaultKind.DROP_BEFORE:
            raise ConnectionDropped("dropped before the request was processed")
        elif fault.acts:
            reply = self._answer(request, address, route, fails_later=fault.kind is FaultKind.FAILS_LATER)
            reply = fault.distort(reply, self._ids)
        else:
            reply = fault.refusal(self._ids)
        if fault and fault.kind is FaultKind.DROP_AFTER:
            raise ConnectionDropped("dropped after the request was processed")
        if fault and fault.kind is FaultKind.SLOW and not await self._outlasts(fault, receive):
            return
        self._note_status(seen, reply.status)
        await _deliver(reply, send, truncated=fault is not None and fault.kind is FaultKind.TRUNCATED)

    def _answer(self, request: _Request, address: Address, route: Route | None, *, fails_later: bool = False) -> Reply:
        """Act on the request; the outer checks come first, in the gateway's order."""
        now_s = self.clock_s()
        if request.method == "OPTIONS":
            # The status and the missing CORS headers were seen; the text is ours.
            return Reply(403, b"Invalid CORS request", TEXT)
        if self._exceeds_burst(now_s):
            return firewall_reply(417, self._ids)
        if (request.method, address.path) == ("GET", "/"):
            return json_reply(200, self._discovery(request, address))
        match self._verdict(request, now_s):
            case Verdict.ABSENT:
                return spring_reply(404, request.raw_path, now_s, self._ids)
            case Verdict.INVALID:
                # The code was seen live, the body around it was not.
                text = "HmacValidFail: check the access key, the signature and the clock."
                return refusal_reply(Refusal(401, "HmacValidFail", text), self._ids)
            case Verdict.VALID:
                pass
        if address.service == PRODUCT and not self._profile.product_enabled:
            return not_enabled_reply()
        if route is None:
            # 405 for a known path is ours: no other method was ever tried on the service.
            status = 405 if is_known_path(address.path, address.service) else 404
            return spring_reply(status, request.raw_path, now_s, self._ids)
        try:
            return rules.answer(
                rules.Call(
                    operation=route.operation,
                    version=served_version(route.operation, request.header("scp-api-version"), self._profile),
                    path_values=route.path_values,
                    raw_query=request.raw_query,
                    world=self.world,
                    profile=self._profile,
                    ids=self._ids,
                    body=request.body,
                    fails_later=fails_later,
                )
            )
        except Refusal as refusal:
            return refusal_reply(refusal, self._ids)

    def _verdict(self, request: _Request, now_s: float) -> Verdict:
        profile = self._profile
        host = request.header("host") or ""
        urls = signed_urls(request.scheme, host, request.target, profile.public_base_urls)
        return verify(request.method, urls, request.headers, self._keys, now_s, profile.skew_limit_s)

    def _exceeds_burst(self, now_s: float) -> bool:
        if self._profile.burst_limit is None:
            return False
        self._burst.append(now_s)
        while self._burst[0] <= now_s - self._profile.burst_window_s:
            self._burst.popleft()
        return len(self._burst) > self._profile.burst_limit

    def _discovery(self, request: _Request, address: Address) -> JsonValue:
        href = f"{request.scheme}://{request.header('host') or ''}{address.prefix}/v1"
        versions: list[JsonValue] = [
            {
                "id": f"v{version.id}",
                "status": version.status,
                "not_before": version.not_before,
                "links": [{"href": href, "rel": "self"}],
            }
            for version in versions_of(address.service, self._profile)
        ]
        return {"versions": versions}

    async def _outlasts(self, fault: Fault, receive: Receive) -> bool:
        """Wait as long as the fault says; False when the caller leaves before."""
        stayed = False
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await _until_disconnect(receive)
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await self._sleep(fault.delay_s)
            stayed = True
            tasks.cancel_scope.cancel()
        return stayed

    def _note_status(self, seen: SeenRequest, status: int) -> None:
        for index in range(len(self.seen) - 1, -1, -1):
            if self.seen[index] is seen:
                self.seen[index] = replace(seen, status=status)
                return


async def _read(scope: Message, receive: Receive) -> _Request | None:
    """The whole request; None when the caller leaves before its end."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return _Request(
        method=scope["method"],
        scheme=scope["scheme"],
        # The undecoded path: the signature covers the bytes as sent.
        raw_path=scope["raw_path"].decode("latin-1"),
        raw_query=scope["query_string"].decode("latin-1"),
        headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]),
        body=bytes(body),
    )


async def _deliver(reply: Reply, send: Send, *, truncated: bool) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    if reply.content_type is not None:
        headers.append((b"content-type", reply.content_type.encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if truncated:
        part = reply.body[: len(reply.body) // 2]
        await send({"type": "http.response.body", "body": part, "more_body": True})
        raise ConnectionDropped("dropped in the middle of the answer")
    # In pieces, so that a caller with a limit can leave in between.
    for start in range(0, len(reply.body), _CHUNK_BYTES):
        chunk = reply.body[start : start + _CHUNK_BYTES]
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
