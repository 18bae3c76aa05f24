"""The one HTTP client of the process: signs, sends, reads within limits, and turns every failure into the error tree.

Reads are retried within a budget. A change is sent once: nothing here, and
nothing below, sends it again. Knows nothing of MCP.
"""

import logging
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar, cast

import anyio
import httpx2
import pydantic_core
from aimlops_tools import Effect, Operation, WireRequest
from aimlops_tools.operation import PRODUCT, Answer, UnsupportedField
from aimlops_tools.text import plain
from pydantic import SecretStr, ValidationError

from aimlops_server.errors import (
    AimlopsError,
    BadAnswer,
    ConfigurationError,
    InvalidArguments,
    OutcomeUnknown,
    Refused,
    ServiceFailed,
    Unreachable,
)
from aimlops_server.refusals import next_step, read_refusal
from aimlops_server.settings import Settings
from aimlops_server.signing import sign

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
RETRIED_STATUSES = frozenset({429, 502, 503, 504})

AnswerT = TypeVar("AnswerT", bound=Answer | None)


@dataclass(frozen=True, slots=True)
class Retries:
    """How a read is tried again: jittered exponential waits, all within `budget_s`."""

    attempts: int = 4
    budget_s: float = 45.0
    first_wait_s: float = 0.5
    max_wait_s: float = 10.0
    jitter_s: float = 1.0


@dataclass(frozen=True, slots=True)
class OfferedVersion:
    """One version of a service's API; status CURRENT, SUPPORTED, DEPRECATED or PLANNED."""

    id: str
    status: str


@dataclass(frozen=True, slots=True)
class _Received:
    status: int
    headers: httpx2.Headers
    body: bytes


class _TryAgain(Exception):
    """A read failed in a way that passes; carries what to raise when the budget is spent."""

    def __init__(self, error: AimlopsError, wait_s: float | None = None) -> None:
        super().__init__(error.happened)
        self.error = error
        self.wait_s = wait_s


class _Lost(Exception):
    """The request left, and no whole answer came back."""


class _Unusable(_Lost):
    """An answer came, and reading it whole was refused."""


class ApiClient:
    """Sends operations. Make one with `open_client`."""

    def __init__(
        self,
        settings: Settings,
        open_http: Callable[[], httpx2.AsyncClient],
        clock_ms: Callable[[], int],
        retries: Retries,
    ) -> None:
        self._settings = settings
        self._open_http = open_http
        self._clock_ms = clock_ms
        self._retries = retries
        self._versions = settings.versions_of_neighbours

    @cached_property
    def _http(self) -> httpx2.AsyncClient:
        """Opened by the first request: it reads the certificate authorities, which took a twentieth of the start."""
        return self._open_http()

    async def aclose(self) -> None:
        """Close the connections."""
        if "_http" in vars(self):
            await self._http.aclose()

    def wire(self, operation: Operation[AnswerT], secrets: Mapping[str, SecretStr] | None = None) -> WireRequest:
        """The exact request of an operation under the configured API version; without `secrets`, with references.

        Raises:
            InvalidArguments: a field is set that this API version does not have.
        """
        spec = operation.spec
        version = self._settings.api_version
        if spec.service != PRODUCT:
            version = self._versions.get(spec.service, spec.versions[-1])
        try:
            return operation.wire(version, secrets)
        except UnsupportedField as error:
            raise InvalidArguments(str(error), "correct the arguments and call again") from None

    async def read(self, operation: Operation[AnswerT]) -> AnswerT:
        """Send a read, again when that may help.

        Raises:
            ConfigurationError, InvalidArguments: nothing was sent.
            Refused, ServiceFailed, Unreachable, BadAnswer: no usable answer.
        """
        if operation.spec.effect is not Effect.READ:
            raise TypeError(f"{operation.tool_name()} changes things: use change()")
        if operation.spec.service != PRODUCT and not self._settings.reaches_neighbours:
            raise _neighbours_off()
        request = self.wire(operation)
        try:
            return await self._read_patiently(operation, request)
        except Refused as refused:
            current = await self._current_version(request) if refused.status == 406 else None
            if request.service == PRODUCT or current in {None, request.version}:
                raise
        # The neighbours' versions were current once; the product's own is the user's choice.
        self._versions[request.service] = str(current)
        return await self._read_patiently(operation, self.wire(operation))

    async def _read_patiently(self, operation: Operation[AnswerT], request: WireRequest) -> AnswerT:
        import stamina  # no start needs it

        try:
            async for attempt in stamina.retry_context(
                on=_backoff,
                attempts=self._retries.attempts,
                timeout=self._retries.budget_s,
                wait_initial=self._retries.first_wait_s,
                wait_max=self._retries.max_wait_s,
                wait_jitter=self._retries.jitter_s,
            ):
                with attempt:
                    return await self._read_once(operation, request)
        except _TryAgain as last:
            raise last.error from None
        raise AssertionError("stamina ends by returning or raising")

    async def change(self, operation: Operation[AnswerT], secrets: Mapping[str, SecretStr] | None = None) -> AnswerT:
        """Send a change, exactly once. `secrets` are the values of its references.

        Raises:
            ConfigurationError, InvalidArguments: nothing was sent.
            Unreachable: no connection was made; nothing was changed.
            Refused: the service said no; nothing was changed.
            OutcomeUnknown: it was sent, and whether it happened is not known.
        """
        request = self.wire(operation, secrets or {})
        try:
            received = await self._send(request)
        except _Lost as lost:
            raise OutcomeUnknown(f"The request was sent, then {lost}.", _LOOK_FIRST) from None
        if 400 <= received.status < 500 and received.status != 408:
            raise await self._refused(request, received)
        if received.status != operation.spec.status:
            refusal = read_refusal(received.status, received.body)
            raise OutcomeUnknown(f"The request was sent. {refusal}", _LOOK_FIRST)
        try:
            return _parse(operation, received)
        except BadAnswer as error:
            raise OutcomeUnknown(
                f"The service accepted the request (HTTP {received.status}), but {error.happened}", _LOOK_FIRST
            ) from None

    async def _read_once(self, operation: Operation[AnswerT], request: WireRequest) -> AnswerT:
        try:
            received = await self._send(request)
        except Unreachable as error:
            raise _TryAgain(error) from None
        except _Unusable as lost:
            raise BadAnswer(f"The service answered, but {lost}.", "ask for less, e.g. a smaller size") from None
        except _Lost as lost:
            error = Unreachable(f"The service did not answer: {lost}.", "try again; this call changes nothing")
            # A time-out has already cost its full wait; a broken connection costs nothing to try again.
            if isinstance(lost.__cause__, httpx2.TimeoutException | TimeoutError):
                raise error from None
            raise _TryAgain(error) from None
        if received.status in RETRIED_STATUSES:
            raise _TryAgain(self._failed(received), _retry_after_s(received.headers, self._retries.max_wait_s))
        if 400 <= received.status < 500:
            raise await self._refused(request, received)
        if received.status != operation.spec.status:
            raise self._failed(received)
        return _parse(operation, received)

    async def _send(self, request: WireRequest) -> _Received:
        """One attempt, signed over the URL that httpx2 is about to write, not over our own text of it."""
        keys = self._settings.keys
        try:
            outgoing = self._http.build_request(
                request.method,
                self._settings.base_url_of(request.service, is_global=request.is_global) + request.target,
                content=request.body,
                headers={"Scp-Api-Version": f"{request.service} {request.version}"},
            )
        except httpx2.InvalidURL as error:
            # The endpoint was checked and the target is encoded: what is left is httpx2's limit of 64 KiB.
            raise InvalidArguments(f"These arguments make no URL: {error}.", "shorten them and call again") from None
        if request.body is not None:
            outgoing.headers["Content-Type"] = "application/json"
        outgoing.headers.update(sign(keys, request.method, str(outgoing.url), self._clock_ms()))
        started_s = anyio.current_time()
        received = await self._exchange(outgoing)
        took_ms = (anyio.current_time() - started_s) * 1000
        path = request.target.partition("?")[0]  # a query may hold people's names
        log.info("%s %s: HTTP %d in %.0f ms", request.method, path, received.status, took_ms)
        return received

    async def _exchange(self, outgoing: httpx2.Request) -> _Received:
        host = f"{outgoing.url.scheme}://{outgoing.url.netloc.decode('ascii')}"
        # httpx2's own limits are per read; this one also ends an answer that drips byte by byte.
        limit_s = CONNECT_TIMEOUT_S + 2 * self._settings.read_timeout_s
        try:
            with anyio.fail_after(limit_s):
                response = await self._http.send(outgoing, stream=True)
                try:
                    return _Received(response.status_code, response.headers, await _body_within_limit(response))
                finally:
                    with anyio.CancelScope(shield=True):
                        await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as error:
            raise Unreachable(
                f"No connection to {host} ({plain(str(error), 200) or type(error).__name__}).",
                "check the network, the proxy (HTTPS_PROXY), SCP_REGION, SCP_ENVIRONMENT and SCP_ENDPOINT; "
                "nothing reached the service",
            ) from None
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise _Lost(f"no whole answer came within {self._settings.read_timeout_s:g} s") from error
        except httpx2.TransportError as error:
            raise _Lost(f"the connection broke ({type(error).__name__})") from error

    async def _refused(self, request: WireRequest, received: _Received) -> Refused:
        refusal = read_refusal(received.status, received.body)
        step = next_step(refusal)
        if received.status == 401 and (skew_s := self._skew_s(received.headers)) is not None:
            step += f" (the service's clock and this machine's differ by {abs(skew_s):.0f} s)"
        if received.status == 406:
            offered = ", ".join(
                f"{v.id} {v.status}" for v in await self.versions(request.service, is_global=request.is_global)
            )
            step += f"; it offers {offered or '(its list of versions could not be read)'}"
        return Refused(str(refusal), step, status=refusal.status, code=refusal.code)

    def _failed(self, received: _Received) -> ServiceFailed:
        refusal = read_refusal(received.status, received.body)
        return ServiceFailed(str(refusal), next_step(refusal))

    def _skew_s(self, headers: httpx2.Headers) -> float | None:
        try:
            return self._clock_ms() / 1000 - parsedate_to_datetime(headers["Date"]).timestamp()
        except (KeyError, ValueError, OverflowError):
            return None

    def today(self) -> str:
        """The date that ends of support are compared with, by this client's clock."""
        return datetime.fromtimestamp(self._clock_ms() / 1000, UTC).date().isoformat()

    async def clock_skew_s(self) -> float | None:
        """How far this machine's clock is ahead of the service's, by the Date of an unsigned answer; None: not told.

        Raises:
            Unreachable: no answer came.
        """
        try:
            return self._skew_s((await self._exchange(self._discovery(PRODUCT))).headers)
        except _Lost as lost:
            raise Unreachable(f"The service did not answer: {lost}.", "try again") from None

    def _discovery(self, service: str, *, is_global: bool = False) -> httpx2.Request:
        """The request for the versions of a service. It needs no signature (facts 2)."""
        return self._http.build_request("GET", self._settings.base_url_of(service, is_global=is_global) + "/")

    async def versions(self, service: str = PRODUCT, *, is_global: bool = False) -> list[OfferedVersion]:
        """What the service's discovery document lists; none when it cannot be read."""
        try:
            received = await self._exchange(self._discovery(service, is_global=is_global))
            listed = cast("list[dict[str, object]]", pydantic_core.from_json(received.body)["versions"])
            return [
                OfferedVersion(plain(str(v["id"]), 20).removeprefix("v"), plain(str(v["status"]), 20))
                for v in listed[:10]
            ]
        except (AimlopsError, _Lost, ValueError, KeyError, TypeError):
            return []

    async def _current_version(self, request: WireRequest) -> str | None:
        if request.service == PRODUCT:
            return None
        offered = await self.versions(request.service, is_global=request.is_global)
        return next((v.id for v in offered if v.status.upper() == "CURRENT"), None)


_LOOK_FIRST = (
    "do not call again yet: it is never sent twice on its own. Look first (get_platform, or list_platforms with the "
    "release_name), tell the user what you see, and repeat only what did not happen"
)


def _neighbours_off() -> ConfigurationError:
    return ConfigurationError(
        "SCP_ENDPOINT is the address of one service, so the neighbouring ones (VPC, Kubernetes, storage and so on) "
        "cannot be reached and look-ups are off.",
        "ask the user for the ids, or have them put {service} into SCP_ENDPOINT, e.g. https://{service}.example.com",
    )


@asynccontextmanager
async def open_client(
    settings: Settings,
    clock_ms: Callable[[], int],
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    retries: Retries | None = None,
) -> AsyncGenerator[ApiClient]:
    """The process's client; connections are pooled until the context ends. No request leaves at the start."""
    # Their INFO and DEBUG lines hold URLs and headers; ours are the only log lines of this process.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    timeout = httpx2.Timeout(settings.read_timeout_s, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S)
    # An encoded answer could unpack to any size; the API's answers are small enough to come as they are.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Accept-Language": settings.language}
    # The service's cookies would be a state that nothing here signs or shows.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))

    def open_http() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=transport, timeout=timeout, headers=headers, cookies=no_cookies, follow_redirects=False
        )

    async with aclosing(ApiClient(settings, open_http, clock_ms, retries or Retries())) as api:
        yield api


async def _body_within_limit(response: httpx2.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        raise _Unusable("the answer came compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise _Unusable(f"the answer was larger than {MAX_ANSWER_BYTES // 1024 // 1024} MiB and was not read on")
    return bytes(body)


def _parse(operation: Operation[AnswerT], received: _Received) -> AnswerT:
    expected = type(operation).answer()
    if expected is None and not received.body.strip():
        return cast("AnswerT", None)
    # An operation without an answer may one day give one; a web page in its place is somebody else's.
    model = expected or Answer
    try:
        parsed = model.model_validate(pydantic_core.from_json(received.body))
        return cast("AnswerT", parsed if expected else None)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) or "the whole" for e in error.errors()[:3])
        problem = f"its JSON is not a {model.__name__} ({plain(fields, 200)} does not fit)"
    except ValueError:
        start = received.body[:200].decode("utf-8", "replace").lstrip()
        problem = "it is a web page, not JSON" if start[:1] == "<" else "it is not whole JSON"
    raise BadAnswer(
        f"its answer cannot be read: {problem}.",
        "try again later; if it stays, a proxy may stand in between, or the service speaks another version",
    )


def _backoff(error: Exception) -> bool | float:
    if not isinstance(error, _TryAgain):
        return False
    return True if error.wait_s is None else error.wait_s


def _retry_after_s(headers: httpx2.Headers, max_wait_s: float) -> float | None:
    """Retry-After in seconds, capped; None when absent or unreadable (its presence is not recorded, facts 5)."""
    given = headers.get("Retry-After", "")
    # Digits only, as HTTP says: float() would also read "nan", and a wait of that length never ends.
    return min(float(given), max_wait_s) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", given) else None
