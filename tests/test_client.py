"""The client under every fault: what is tried again, what never is, and how each failure reads."""

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from email.utils import formatdate
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
import stamina
from aimlops_server.client import MAX_ANSWER_BYTES, ApiClient, Retries, open_client
from aimlops_server.errors import (
    AimlopsError,
    BadAnswer,
    ConfigurationError,
    OutcomeUnknown,
    Refused,
    ServiceFailed,
    Unreachable,
)
from aimlops_server.paging import walk
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.seed import (
    CREATING_RELEASE_ID,
    DEPLOYED_RELEASE_ID,
    SEEDED_PLATFORMS,
)
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.sandbox.world import UPDATE_S
from aimlops_server.settings import Settings
from aimlops_tools import OPERATIONS, Operation
from aimlops_tools.fields import AsyncResponse
from aimlops_tools.models.images import ListImages
from aimlops_tools.models.platforms import (
    CheckPlatformName,
    CreatePlatform,
    DeletePlatform,
    GetPlatform,
    ListPlatforms,
    UpdatePlatform,
)
from pydantic import SecretStr
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from tests.transports import Bytes, Service, answers, client_of, serving
from tests.world import AT_ONCE, ENDPOINT, PASSWORD, SECRETS, Clock, create_arguments, make_sandbox, settings

pytestmark = pytest.mark.anyio

ATTEMPTS = AT_ONCE.attempts
UNKNOWN_ID = "0" * 32
LOOK_FIRST = (
    "do not call again yet: it is never sent twice on its own. Look first (get_platform, or list_platforms with the "
    "release_name), tell the user what you see, and repeat only what did not happen"
)
UPSTREAM = "upstream connect error or disconnect/reset before headers. reset reason: connection failure"
CREATE = CreatePlatform.validate_arguments(create_arguments())
UPDATE = UpdatePlatform(release_id=DEPLOYED_RELEASE_ID, ai_ml_ops_platform_endpoint_type="Public")
DELETE = DeletePlatform(release_id=DEPLOYED_RELEASE_ID)
CHANGES: tuple[Operation[Any], ...] = (CREATE, UPDATE, DELETE)

# What a read outlives: it is asked again.
PASSING = (
    *(f"status={status}" for status in (429, 502, 503, 504)),
    "status_after=503",
    "drop_before",
    "drop_after",
    "truncated",
)
# What ends a read at once.
FINAL: tuple[tuple[str, type[AimlopsError]], ...] = (
    *((f"status={status}", Refused) for status in (400, 401, 403, 404, 406, 409, 417)),
    ("html=417", Refused),
    ("html=403", Refused),
    ("status=500", ServiceFailed),
    ("status=501", ServiceFailed),
    ("redirect", ServiceFailed),
    ("html", BadAnswer),
    ("huge", BadAnswer),
    ("not_json", BadAnswer),
    ("wrong_shape", BadAnswer),
)
# What a change ends with, having been sent once.
ONCE: tuple[tuple[str, type[AimlopsError]], ...] = (
    *((f"status={status}", Refused) for status in (400, 401, 403, 404, 406, 409, 417, 429)),
    ("html=403", Refused),
    *((f"status={status}", OutcomeUnknown) for status in (408, 500, 502, 503, 504)),
    *((f"status_after={status}", OutcomeUnknown) for status in (408, 500, 503)),
    ("html=503", OutcomeUnknown),
    ("redirect", OutcomeUnknown),
    ("drop_before", OutcomeUnknown),
    ("drop_after", OutcomeUnknown),
    ("truncated", OutcomeUnknown),
    ("html", OutcomeUnknown),
    ("huge", OutcomeUnknown),
    ("not_json", OutcomeUnknown),
    ("wrong_shape", OutcomeUnknown),
    ("hang", OutcomeUnknown),
    ("slow=60", OutcomeUnknown),
)
Connect = Callable[..., AbstractAsyncContextManager[ApiClient]]


@pytest.fixture
def connect(sandbox: Sandbox, clock: Clock) -> Connect:
    """A client of the sandbox in memory."""

    def connected(retries: Retries = AT_ONCE, **values: object) -> AbstractAsyncContextManager[ApiClient]:
        return client_of(SandboxTransport(sandbox), clock, retries, **values)

    return connected


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """How long each wait before another attempt was to be."""
    before = get_on_retry_hooks()
    waited: list[float] = []

    def note(details: RetryDetails) -> None:
        waited.append(details.wait_for)

    set_on_retry_hooks([note])
    yield waited
    set_on_retry_hooks(before)


async def failure(api: ApiClient, operation: Operation[Any] | None = None) -> AimlopsError:
    """The error that a read ends with."""
    with pytest.raises(AimlopsError) as failed:
        await api.read(operation or ListPlatforms())
    return failed.value


async def change_failure(api: ApiClient, operation: Operation[Any]) -> AimlopsError:
    with pytest.raises(AimlopsError) as failed:
        await api.change(operation, SECRETS)
    return failed.value


# ---- what is tried again


@pytest.mark.parametrize("fault", PASSING)
async def test_passing_failure_of_a_read_is_outlived(fault: str, connect: Connect, sandbox: Sandbox) -> None:
    sandbox.faults.add(parse(f"GET:{fault}:times={ATTEMPTS - 1}"))
    async with connect() as api:
        answer = await api.read(ListPlatforms())

    assert answer.total_count == SEEDED_PLATFORMS
    assert len(sandbox.seen) == ATTEMPTS


@pytest.mark.parametrize("fault", ["status=429", "status=502", "status=503", "status=504", "drop_before", "truncated"])
@pytest.mark.parametrize("attempts", [1, 3])
async def test_lasting_failure_of_a_read_ends_with_the_attempts(
    fault: str, attempts: int, connect: Connect, sandbox: Sandbox
) -> None:
    sandbox.faults.add(parse(f"GET:{fault}:times=100"))
    retries = Retries(attempts=attempts, first_wait_s=0, max_wait_s=0, jitter_s=0)
    async with connect(retries) as api:
        error = await failure(api)

    assert type(error) is (ServiceFailed if "status" in fault else Unreachable)
    assert len(sandbox.seen) == attempts


async def test_attempts_end_with_the_budget(clock: Clock, sandbox: Sandbox) -> None:
    sandbox.faults.add(parse("GET:status=503:times=100"))
    retries = Retries(attempts=50, budget_s=1e-9, first_wait_s=0, max_wait_s=0, jitter_s=0)
    async with client_of(SandboxTransport(sandbox), clock, retries) as api:
        await failure(api)

    assert len(sandbox.seen) == 1


@pytest.mark.parametrize(("fault", "kind"), FINAL)
async def test_lasting_refusal_is_not_asked_for_again(
    fault: str, kind: type[AimlopsError], connect: Connect, sandbox: Sandbox
) -> None:
    sandbox.faults.add(parse(f"GET:{fault}:operation=list_platforms"))
    async with connect() as api:
        error = await failure(api)

    assert type(error) is kind
    assert [seen.target for seen in sandbox.seen if seen.target != "/"] == [ListPlatforms().wire("1.1").target]


async def test_reads_fare_alike_over_http(sandbox: Sandbox, clock: Clock) -> None:
    """One real server and one real connection pool, through every fault in turn."""
    outcomes: dict[str, tuple[object, int]] = {}
    async with serving(sandbox) as base_url, client_of(None, clock, endpoint=base_url) as api:
        for fault in PASSING:
            sandbox.seen.clear()
            sandbox.faults.add(parse(f"GET:{fault}:times={ATTEMPTS - 1}"))
            outcomes[fault] = ((await api.read(ListPlatforms())).total_count, len(sandbox.seen))
        for fault, _ in FINAL:
            sandbox.seen.clear()
            sandbox.faults.add(parse(f"GET:{fault}:operation=list_platforms"))
            outcomes[fault] = (type(await failure(api)), len([seen for seen in sandbox.seen if seen.target != "/"]))

    expected: dict[str, tuple[object, int]] = {fault: (kind, 1) for fault, kind in FINAL}
    assert outcomes == dict.fromkeys(PASSING, (SEEDED_PLATFORMS, ATTEMPTS)) | expected


async def test_silent_service_ends_with_the_time_out_over_http(sandbox: Sandbox, clock: Clock) -> None:
    async with serving(sandbox) as base_url, client_of(None, clock, endpoint=base_url, read_timeout_s=0.05) as api:
        for fault in ("hang", "slow=60"):
            sandbox.faults.add(parse(f"GET:{fault}"))
            assert type(await failure(api)) is Unreachable

    assert len(sandbox.seen) == 2


@pytest.mark.parametrize("fault", ["hang", "slow=60"])
async def test_silent_service_ends_with_the_time_out(fault: str, connect: Connect, sandbox: Sandbox) -> None:
    """A time-out has already cost its full wait, so it is not asked again."""
    sandbox.faults.add(parse(f"GET:{fault}"))
    async with connect(read_timeout_s=0.05) as api:
        error = await failure(api)

    assert type(error) is Unreachable
    assert error.explain("list_platforms") == (
        "list_platforms failed. The service did not answer: no whole answer came within 0.05 s.\n"
        "Changed: nothing was changed.\nNext: try again; this call changes nothing"
    )
    assert len(sandbox.seen) == 1


async def test_dripping_answer_ends_too(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes within the time-out, and the last one never: the loop's own clock is moved on by hand."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()

    class Drip(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncGenerator[bytes]:
            for number in range(10_000):
                yield b" "
                monkeypatch.setattr(loop, "time", lambda moved_s=number * 0.01: started_s + moved_s)
                await anyio.lowlevel.checkpoint()

    wire = Service(lambda _: httpx2.Response(200, stream=Drip()))
    with anyio.fail_after(100):
        async with open_client(settings(read_timeout_s=1), clock.ms, transport=wire, retries=AT_ONCE) as api:
            error = await failure(api)

    assert error.happened == "The service did not answer: no whole answer came within 1 s."
    assert 7 <= loop.time() - started_s < 8
    assert len(wire.requests) == 1


@pytest.mark.parametrize("network", [False, True])
async def test_hanging_call_is_cancelled_at_once(network: bool, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults.add(parse("GET:hang"))
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(serving(sandbox)) if network else None
        transport = None if network else SandboxTransport(sandbox)
        api = await stack.enter_async_context(client_of(transport, clock, endpoint=endpoint, read_timeout_s=600))
        with anyio.fail_after(1):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(api.read, ListPlatforms())
                while not sandbox.seen:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        # The connection it held is free again.
        assert (await api.read(ListPlatforms())).total_count == SEEDED_PLATFORMS


@pytest.mark.parametrize("operation", [ListPlatforms(), *CHANGES], ids=lambda op: type(op).__name__)
async def test_closed_port_is_unreachable_and_nothing_is_changed(operation: Operation[Any], clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with client_of(None, clock, endpoint=f"http://127.0.0.1:{port}") as api:
        is_read = isinstance(operation, ListPlatforms)
        error = await (failure(api, operation) if is_read else change_failure(api, operation))

    assert type(error) is Unreachable
    assert error.explain("it") == (
        f"it failed. No connection to http://127.0.0.1:{port} (All connection attempts failed).\n"
        "Changed: nothing was changed.\n"
        "Next: check the network, the proxy (HTTPS_PROXY), SCP_REGION, SCP_ENVIRONMENT and SCP_ENDPOINT; "
        "nothing reached the service"
    )


@pytest.mark.parametrize("cause", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError])
async def test_connection_never_made_is_tried_again_for_a_read_alone(
    cause: type[httpx2.TransportError], clock: Clock
) -> None:
    def fail(_: httpx2.Request) -> httpx2.Response:
        raise cause("no way")

    wire = Service(fail)
    async with client_of(wire, clock) as api:
        errors = [await failure(api), await change_failure(api, DELETE)]

    assert [type(error) for error in errors] == [Unreachable, Unreachable]
    assert [request.method for request in wire.requests] == ["GET"] * ATTEMPTS + ["DELETE"]


# ---- how long it waits


def short(attempts: int = 3) -> Retries:
    return Retries(attempts=attempts, first_wait_s=0.001, max_wait_s=0.004, jitter_s=0.0)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [
        ("0", [0.0, 0.0]),
        ("0.002", [0.002, 0.002]),
        ("1", [0.004, 0.004]),
        ("86400", [0.004, 0.004]),
        ("999999999", [0.004, 0.004]),
    ],
)
async def test_retry_after_is_kept_and_capped(
    status: int, retry_after: str, waited: list[float], clock: Clock, waits: list[float]
) -> None:
    async with client_of(answers(status, "", Retry_After=retry_after), clock, short()) as api:
        await failure(api)

    assert waits == waited


@pytest.mark.parametrize(
    "retry_after", ["nan", "inf", "-1", "", "soon", "1e9", "Wed, 21 Oct 2065 07:28:00 GMT", "9" * 400, "１"]
)
async def test_unreadable_retry_after_is_ignored(retry_after: str, clock: Clock, waits: list[float]) -> None:
    """Not a number (nan) would be a wait without an end."""
    headers = httpx2.Headers([(b"Retry-After", retry_after.encode())])
    wire = Service(lambda _: httpx2.Response(503, headers=headers, stream=Bytes()))
    async with client_of(wire, clock, short()) as api:
        await failure(api)

    assert waits == [0.001, 0.002]


async def test_waits_grow_up_to_their_limit(clock: Clock, waits: list[float]) -> None:
    async with client_of(answers(503), clock, short(attempts=5)) as api:
        await failure(api)

    assert waits == pytest.approx([0.001, 0.002, 0.004, 0.004])


def test_default_retries_are_few_and_bounded() -> None:
    assert Retries() == Retries(attempts=4, budget_s=45.0, first_wait_s=0.5, max_wait_s=10.0, jitter_s=1.0)


# ---- what is never followed, unpacked or read on


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["https://elsewhere.invalid/", "/v1/aimlops-platform", "http://[", "\x00"])
async def test_redirect_is_never_followed(status: int, location: str, clock: Clock) -> None:
    """A signed request, sent elsewhere, would hand its signature to a stranger."""
    wire = answers(status, "", Location=location)
    retries = Retries(attempts=1)
    async with client_of(wire, clock, retries) as api:
        errors = [await failure(api), await change_failure(api, DELETE)]

    assert [type(error) for error in errors] in ([ServiceFailed, OutcomeUnknown], [Unreachable, OutcomeUnknown])
    assert {request.url.host for request in wire.requests} == {httpx2.URL(ENDPOINT).host}
    assert len(wire.requests) == 2


async def test_redirect_reads_as_a_wrong_address(clock: Clock, sandbox: Sandbox) -> None:
    sandbox.faults.add(parse("redirect"))
    async with client_of(SandboxTransport(sandbox), clock) as api:
        error = await failure(api)

    assert error.explain("list_platforms") == (
        "list_platforms failed. The service answered HTTP 307.\nChanged: nothing was changed.\n"
        "Next: a signed request is never redirected: check SCP_ENDPOINT, SCP_REGION and the proxy"
    )


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_huge_answer_is_not_read_on(status: int, clock: Clock) -> None:
    piece = b" " * 1024 * 1024
    body = Bytes(*[piece] * 100)
    async with client_of(Service(lambda _: httpx2.Response(status, stream=body)), clock) as api:
        error = await failure(api)

    assert body.taken * len(piece) == MAX_ANSWER_BYTES + len(piece)
    assert error.explain("list_platforms") == (
        "list_platforms failed. The service answered, but the answer was larger than 8 MiB and was not read on.\n"
        "Changed: nothing was changed.\nNext: ask for less, e.g. a smaller size"
    )


async def test_answer_of_exactly_the_limit_is_read(clock: Clock) -> None:
    body = b'{"contents": [], "total_count": 0}'.ljust(MAX_ANSWER_BYTES)
    async with client_of(answers(200, body), clock) as api:
        assert (await api.read(ListPlatforms())).total_count == 0


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip", "unknown"])
async def test_compressed_answer_is_refused(encoding: str, clock: Clock) -> None:
    """It was not asked for, and could unpack to any size."""
    wire = answers(200, b"\x1f\x8b", Content_Encoding=encoding)
    async with client_of(wire, clock) as api:
        error = await failure(api)

    assert (type(error), len(wire.requests)) == (BadAnswer, 1)
    assert wire.requests[0].headers["Accept-Encoding"] == "identity"
    assert error.happened == "The service answered, but the answer came compressed, which was not asked for."


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_answer_as_it_is_is_read(encoding: str, clock: Clock) -> None:
    wire = answers(200, '{"result": true}', Content_Encoding=encoding)
    async with client_of(wire, clock) as api:
        assert (await api.read(CheckPlatformName(release_name="a"))).result


# ---- how refusals read


def explained(happened: str, next_step: str) -> str:
    return f"it failed. {happened}\nChanged: nothing was changed.\nNext: {next_step}"


def error_body(code: str, detail: object, **more: object) -> str:
    error = {"code": code, "title": code, "detail": detail, "global_request_id": "req-1", **more}
    return json.dumps({"errors": [error]})


KEYS = "check SCP_ACCESS_KEY and SCP_SECRET_KEY, then this machine's clock: a clock that is off spoils the signature"
NOT_FOUND = (
    "check the id with list_platforms; a platform that was deleted is gone, and nodes and storage classes are "
    "known only once a platform is deployed on the cluster"
)
FIREWALL = "the firewall blocks this machine for too many calls at once: wait some minutes, then call less often"
LATER = "try again later; if it stays, give the request id to the vendor's support"
SPRING = json.dumps(
    {"timestamp": "2026-01-01", "path": "/v1", "status": 404, "error": "Not Found", "requestId": "6c2f"}
)
GATEWAY = json.dumps(
    {
        "status": "UNAUTHORIZED",
        "name": "Request was rejected by gateway",
        "message": "Service Account catalog has not target's endpoint. target : scp-aimlops-platform_hmac",
    }
)
FIREWALL_PAGE = (
    "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. Please consult with your "
    "administrator.<br><br>Your Support ID is: 4711</body></html>"
)
REFUSALS = {
    "bad key": (
        (401, error_body("HmacValidFail", "HmacValidFail: check the signature.")),
        "The service answered HTTP 401; HmacValidFail; its words: “HmacValidFail: check the signature.”; "
        "request id req-1.",
        KEYS,
    ),
    "product not enabled": (
        (401, GATEWAY),
        "The service answered HTTP 401; UNAUTHORIZED Request was rejected by gateway; its words: “Service Account "
        "catalog has not target's endpoint. target : scp-aimlops-platform_hmac”.",
        "the product is not enabled for this account or region: check SCP_REGION and SCP_ENVIRONMENT, or have an "
        "administrator enable AI&MLOps Platform",
    ),
    "key not known": (
        (404, SPRING),
        "The service answered HTTP 404; Not Found; request id 6c2f.",
        "the key is not accepted here or the product is not offered to this account in this region: check the keys, "
        "SCP_REGION and SCP_ENVIRONMENT",
    ),
    "not permitted": (
        (
            403,
            error_body(
                "Forbidden",
                "You do not have permission.",
                response={"action_name": "aimlops-platform:ListPlatforms", "caused_auths": []},
            ),
        ),
        "The service answered HTTP 403; Forbidden; its words: “You do not have permission.”; permission needed: "
        "aimlops-platform:ListPlatforms; request id req-1.",
        "ask an administrator to allow this action for the key's user in IAM",
    ),
    "quota": (
        (403, error_body("aimlops-platform.quota.value.exceeded", "too many")),
        "The service answered HTTP 403; aimlops-platform.quota.value.exceeded; its words: “too many”; "
        "request id req-1.",
        "a quota is used up: free something or ask for a higher quota",
    ),
    "other quota": (
        (403, error_body("ExceedMaxCount", "")),
        "The service answered HTTP 403; ExceedMaxCount; request id req-1.",
        "a quota is used up: free something or ask for a higher quota",
    ),
    "unknown id": (
        (404, error_body("PRODUCT-AI-ANALYTICS-USER-0002", "Kubeflow (0) does not exist.")),
        "The service answered HTTP 404; PRODUCT-AI-ANALYTICS-USER-0002; its words: “Kubeflow (0) does not exist.”; "
        "request id req-1.",
        NOT_FOUND,
    ),
    "validation": (
        (400, error_body("ValidationError", ["Field required", "Field required"])),
        "The service answered HTTP 400; ValidationError; its words: “Field required; Field required”; "
        "request id req-1.",
        "compare the arguments with the tool's description; the service often does not name the field",
    ),
    "busy": (
        (409, error_body("Conflict", "The platform is being updated.")),
        "The service answered HTTP 409; Conflict; its words: “The platform is being updated.”; request id req-1.",
        "wait until the platform is no longer changing (get_platform), then try again",
    ),
    "firewall": (
        (417, FIREWALL_PAGE),
        "The service answered HTTP 417; its words: “The requested URL was rejected. Please consult with your "
        "administrator. Your Support ID is: 4711”.",
        FIREWALL,
    ),
    "too many calls": (
        (429, "local_rate_limited"),
        "The service answered HTTP 429; its words: “local_rate_limited”.",
        "too many calls: wait a minute, then try again",
    ),
    "its own fault": (
        (500, error_body("ContactAdminForAssistance", "An error occurred.")),
        "The service answered HTTP 500; ContactAdminForAssistance; its words: “An error occurred.”; request id req-1.",
        LATER,
    ),
    "proxy": ((503, UPSTREAM), f"The service answered HTTP 503; its words: “{UPSTREAM}”.", LATER),
    "empty": ((502, ""), "The service answered HTTP 502.", LATER),
    "something else": (
        (418, "[1, 2]"),
        "The service answered HTTP 418; its words: “[1, 2]”.",
        "read the service's words above and correct the call",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_refusal_says_what_happened_and_what_to_do(case: str, clock: Clock) -> None:
    (status, body), happened, next_step = REFUSALS[case]
    async with client_of(answers(status, body), clock) as api:
        error = await failure(api)

    assert type(error) is (Refused if 400 <= status < 500 and status != 429 else ServiceFailed)
    assert error.explain("it") == explained(happened, next_step)


async def test_refused_error_carries_status_and_code(clock: Clock) -> None:
    async with client_of(answers(403, error_body("Forbidden", "no")), clock) as api:
        error = await failure(api)

    assert isinstance(error, Refused)
    assert (error.status, error.code) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("profile", "operation", "words"),
    [
        (Profile(product_enabled=False), ListPlatforms(), "the product is not enabled for this account or region"),
        (Profile(denied=frozenset({"list_platforms"})), ListPlatforms(), "needed: aimlops-platform:ListPlatforms;"),
        (Profile(), GetPlatform(release_id=UNKNOWN_ID), "404; PRODUCT-AI-ANALYTICS-USER-0002;"),
        (Profile(), GetPlatform(release_id="short"), "400; BadRequest; its words: “Release ID should be 32-letter"),
        (Profile(), ListPlatforms(sort="nonsense"), "400; ValidationError; its words: “sort [field:asc|field:desc]”"),
    ],
)
async def test_simulated_refusal_reads_alike(
    profile: Profile, operation: Operation[Any], words: str, clock: Clock
) -> None:
    """The shapes above, from the simulator that was written without this client in view."""
    sandbox = make_sandbox(clock, profile=profile)
    async with client_of(SandboxTransport(sandbox), clock) as api:
        error = await failure(api, operation)

    assert type(error) is Refused
    assert words in error.explain("it")


@pytest.mark.parametrize(
    ("profile", "operation", "words"),
    [
        (Profile(platform_quota=1), CREATE, "a quota is used up: free something or ask for a higher quota"),
        (Profile(), UpdatePlatform(release_id=CREATING_RELEASE_ID, ai_ml_ops_platform_endpoint_type="Public"), "409;"),
        (Profile(), DeletePlatform(release_id=UNKNOWN_ID), "404; PRODUCT-AI-ANALYTICS-USER-0002;"),
    ],
)
async def test_simulated_refusal_of_a_change_reads_alike(
    profile: Profile, operation: Operation[Any], words: str, clock: Clock
) -> None:
    sandbox = make_sandbox(clock, profile=profile)
    async with client_of(SandboxTransport(sandbox), clock) as api:
        error = await change_failure(api, operation)

    assert type(error) is Refused
    assert words in error.explain("it")
    assert "Changed: nothing was changed." in error.explain("it")


@pytest.mark.parametrize(
    ("date", "words"),
    [
        (formatdate(1_790_000_000 + 3600, usegmt=True), " (the service's clock and this machine's differ by 3600 s)"),
        (formatdate(1_790_000_000 - 90, usegmt=True), " (the service's clock and this machine's differ by 90 s)"),
        (formatdate(1_790_000_000, usegmt=True), " (the service's clock and this machine's differ by 0 s)"),
        (None, ""),
        ("", ""),
        ("yesterday", ""),
        ("Mon, 16 Nov 99999 13:32:02 GMT", ""),
        ("Mon, 16 Nov 2009 13:32:02 +99999999999999999999", ""),
    ],
)
async def test_bad_signature_tells_how_far_the_clocks_are_apart(date: str | None, words: str, clock: Clock) -> None:
    headers = {} if date is None else {"Date": date}
    async with client_of(answers(401, error_body("HmacValidFail", ""), **headers), clock) as api:
        error = await failure(api)

    assert error.explain("it") == explained(
        "The service answered HTTP 401; HmacValidFail; request id req-1.", KEYS + words
    )


async def test_clock_that_is_off_is_found_out(sandbox: Sandbox, clock: Clock) -> None:
    """The whole way over HTTP: the service refuses an old timestamp."""
    late = Clock(clock.now_s - 3600)
    async with serving(sandbox) as base_url, client_of(None, late, endpoint=base_url) as api:
        error = await failure(api)

    assert isinstance(error, Refused)
    assert (error.status, error.code) == (401, "HmacValidFail")
    assert " (the service's clock and this machine's differ by " in error.next_step


async def test_refused_version_names_those_on_offer(connect: Connect, sandbox: Sandbox) -> None:
    async with connect(api_version="1.0") as api:
        error = await failure(api)

    assert isinstance(error, Refused)
    assert (error.status, error.code) == (406, "NoSuchVersion")
    assert (
        error.next_step
        == "set SCP_API_VERSION to a version that the service offers; it offers 1.2 CURRENT, 1.1 SUPPORTED"
    )
    assert [(seen.target, seen.version) for seen in sandbox.seen][1:] == [("/", None)]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>"),
        (200, "[]"),
        (200, "null"),
        (200, '{"versions": 5}'),
        (200, '{"versions": {"id": "v1.1"}}'),
        (200, '{"versions": ["v1.1"]}'),
        (200, '{"versions": [{"id": "v1.1"}]}'),
        (200, "[" * 100_000),
        (500, ""),
        (307, ""),
    ],
)
async def test_unreadable_list_of_versions_is_told(status: int, body: str, clock: Clock) -> None:
    refused, discovery = answers(406, error_body("NoSuchVersion", "")), answers(status, body)
    wire = Service(lambda request: (discovery if request.url.path == "/" else refused).reply(request))
    async with client_of(wire, clock) as api:
        error = await failure(api)

    assert error.next_step == (
        "set SCP_API_VERSION to a version that the service offers; it offers (its list of versions could not be read)"
    )


async def test_discovery_carries_no_credentials(clock: Clock) -> None:
    """It needs none, so none are shown."""
    wire = answers(406, "{}")
    async with client_of(wire, clock, auth_token=SecretStr("token"), account_id="account") as api:
        await failure(api)

    assert not [name for name in wire.requests[1].headers if name.startswith(("scp-", "x-auth"))]


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("Field required", "Field required"),
        (["Field required", "Another"], "Field required; Another"),
        ("['Field required', 'Another']", "Field required; Another"),
        ("['it''s', \"it's\"]", "its; it's"),
        ([], ""),
        ("[]", ""),
        ("", ""),
        (None, ""),
        (7, "7"),
        ({"a": 1}, "{'a': 1}"),
        ("[not python", "[not python"),
        ("[{[]: 1}]", "[{[]: 1}]"),
        ("[{{}}]", "[{{}}]"),
        ("[1] * 9 ** 9 ** 9", "[1] * 9 ** 9 ** 9"),
        ("[__import__('os').abort()]", "[__import__('os').abort()]"),
        ("[" * 250, "[" * 250),
        ([["a"], None], "['a']; None"),
    ],
)
async def test_detail_is_read_in_all_its_shapes(detail: object, words: str, clock: Clock) -> None:
    """A text, a list, or a text that holds a Python list: read as data, never run."""
    async with client_of(answers(400, error_body("Bad", detail)), clock) as api:
        error = await failure(api)

    said = f"; its words: “{words}”" if words else ""
    assert error.happened == f"The service answered HTTP 400; Bad{said}; request id req-1."


@pytest.mark.parametrize(
    "body",
    [
        "x" * 100_000,
        "\x1b[31m" + "\x00\x07" * 50_000,
        "‮" + "y" * 100_000,
        "<html>" + "<b>z</b>" * 50_000,
        "<" * 100_000,
        "{" * 100_000,
        "[" * 100_000,
        error_body("c" * 100_000, "d" * 100_000, response={"action_name": "a" * 100_000}),
        error_body("c\x1b[2J\nc", "d\r\nd\u2028d\u202e", response={"action_name": "a\x00b"}),
        error_body("c", [["e" * 50_000]] * 2),
        json.dumps({"errors": [{"code": {"a": ["b"] * 9_000}}]}),
        json.dumps({"errors": ["text"]}),
        json.dumps({"errors": {}}),
        json.dumps({"requestId": None, "error": ["x"] * 50_000}),
        json.dumps({"message": "m" * 100_000, "name": "\x9b31m", "status": None}),
        b"\xff\xfe\x00\xd8".decode("latin-1"),
    ],
    ids=range(16),
)
@pytest.mark.parametrize("status", [400, 500])
async def test_upstream_text_is_bounded_and_visible(body: str, status: int, clock: Clock) -> None:
    async with client_of(answers(status, body), clock) as api:
        errors = [await failure(api), await change_failure(api, DELETE)]

    for error in errors:
        assert error.happened.isprintable()
        assert len(error.happened) < 1_200
        assert not set(error.happened) & set("\x1b\x9b\u202e\u2028")


async def test_bytes_that_are_no_text_are_shown_as_far_as_they_are(clock: Clock) -> None:
    async with client_of(answers(400, b"\xff\xfeab\xed\xa0\x80"), clock) as api:
        error = await failure(api)

    assert error.happened == "The service answered HTTP 400; its words: “��ab���”."


# ---- how bad answers read


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<html>Please wait.</html>", "it is a web page, not JSON"),
        ("  \n<!doctype html>", "it is a web page, not JSON"),
        ("", "it is not whole JSON"),
        ('{"contents": [', "it is not whole JSON"),
        ("{'result': accepted", "it is not whole JSON"),
        ("[" * 100_000, "it is not whole JSON"),
        ("[]", "its JSON is not a AiMlOpsPlatformsListResponse (the whole does not fit)"),
        ("null", "its JSON is not a AiMlOpsPlatformsListResponse (the whole does not fit)"),
        ("{}", "its JSON is not a AiMlOpsPlatformsListResponse (contents, total_count does not fit)"),
        (
            '{"contents": [{}], "total_count": 1}',
            "its JSON is not a AiMlOpsPlatformsListResponse (contents.0.release_id, contents.0.release_name, "
            "contents.0.status does not fit)",
        ),
    ],
)
async def test_unusable_answer_says_why(body: str, problem: str, clock: Clock) -> None:
    wire = answers(200, body)
    async with client_of(wire, clock) as api:
        error = await failure(api)

    assert type(error) is BadAnswer
    assert error.explain("it") == explained(
        f"its answer cannot be read: {problem}.",
        "try again later; if it stays, a proxy may stand in between, or the service speaks another version",
    )
    assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_other_success_than_declared_is_a_failure(status: int, clock: Clock) -> None:
    async with client_of(answers(status, '{"result": true}'), clock) as api:
        error = await failure(api, CheckPlatformName(release_name="a"))

    assert type(error) is ServiceFailed


# ---- changes


@pytest.mark.parametrize("operation", CHANGES, ids=lambda op: op.tool_name())
@pytest.mark.parametrize(("fault", "kind"), ONCE)
async def test_change_is_sent_once_whatever_happens(
    operation: Operation[Any], fault: str, kind: type[AimlopsError], connect: Connect, sandbox: Sandbox
) -> None:
    """Exactly one request that changes; a refusal changed nothing, any other answer leaves the outcome open."""
    sandbox.faults.add(parse(f"{operation.spec.method}:{fault}"))
    async with connect(read_timeout_s=0.05 if fault in {"hang", "slow=60"} else 30) as api:
        error = await change_failure(api, operation)

    assert type(error) is kind
    assert [seen.method for seen in sandbox.changes] == [operation.spec.method]
    assert [seen.target for seen in sandbox.seen if seen.method == "GET"] == (["/"] if fault == "status=406" else [])
    if kind is OutcomeUnknown:
        assert error.next_step == LOOK_FIRST
        assert "\nChanged: unknown: the change may or may not have happened.\n" in error.explain("it")


async def test_changes_fare_alike_over_http(sandbox: Sandbox, clock: Clock) -> None:
    """One real server and one real connection pool, through every fault in turn."""
    outcomes: dict[str, tuple[object, list[str]]] = {}
    async with serving(sandbox) as base_url, client_of(None, clock, endpoint=base_url, read_timeout_s=0.5) as api:
        for fault, _ in ONCE:
            if fault == "slow=60":
                continue  # to the caller the same as hang, and one more time-out to wait for
            sandbox.seen.clear()
            clock.now_s += UPDATE_S
            sandbox.faults.add(parse(f"PUT:{fault}"))
            outcomes[fault] = (type(await change_failure(api, UPDATE)), [seen.method for seen in sandbox.changes])

    assert outcomes == {fault: (kind, ["PUT"]) for fault, kind in ONCE if fault != "slow=60"}


async def test_changes_are_sent_and_answered_over_http(sandbox: Sandbox, clock: Clock) -> None:
    async with serving(sandbox) as base_url, client_of(None, clock, endpoint=base_url) as api:
        created = await api.change(CREATE, SECRETS)
        assert await api.change(DELETE, SECRETS) is None

    assert isinstance(created, AsyncResponse)
    assert [(seen.method, seen.status) for seen in sandbox.seen] == [("POST", 201), ("DELETE", 200)]


@pytest.mark.parametrize("operation", CHANGES, ids=lambda op: op.tool_name())
async def test_change_is_sent_and_answered(operation: Operation[Any], connect: Connect, sandbox: Sandbox) -> None:
    async with connect() as api:
        answer = await api.change(operation, SECRETS)

    assert isinstance(answer, AsyncResponse if operation is not DELETE else type(None))
    assert [(seen.method, seen.status) for seen in sandbox.seen] == [(operation.spec.method, operation.spec.status)]


@pytest.mark.parametrize(
    ("reply", "happened"),
    [
        ((503, UPSTREAM), f"The request was sent. The service answered HTTP 503; its words: “{UPSTREAM}”."),
        ((200, "{}"), "The request was sent. The service answered HTTP 200; its words: “{}”."),
        ((307, ""), "The request was sent. The service answered HTTP 307."),
        (
            (201, "<html>"),
            "The service accepted the request (HTTP 201), but its answer cannot be read: it is a web page, not JSON.",
        ),
        (
            (201, "{}"),
            "The service accepted the request (HTTP 201), but its answer cannot be read: its JSON is not a "
            "AsyncResponse (project_id, request_id, resource_id does not fit).",
        ),
    ],
)
async def test_lost_answer_is_unknown_and_not_repeated(reply: tuple[int, str], happened: str, clock: Clock) -> None:
    wire = answers(*reply)
    async with client_of(wire, clock) as api:
        error = await change_failure(api, CREATE)

    assert type(error) is OutcomeUnknown
    assert error.explain("create_platform") == (
        f"create_platform failed. {happened}\n"
        f"Changed: unknown: the change may or may not have happened.\nNext: {LOOK_FIRST}"
    )
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("fault", "happened"),
    [
        ("drop_after", "The request was sent, then the connection broke (RemoteProtocolError)."),
        ("hang", "The request was sent, then no whole answer came within 0.05 s."),
        ("huge", "The request was sent, then the answer was larger than 8 MiB and was not read on."),
    ],
)
async def test_answer_that_never_came_whole_is_told(fault: str, happened: str, clock: Clock, sandbox: Sandbox) -> None:
    sandbox.faults.add(parse(f"POST:{fault}"))
    async with client_of(SandboxTransport(sandbox), clock, read_timeout_s=0.05) as api:
        error = await change_failure(api, CREATE)

    assert (type(error), error.happened) == (OutcomeUnknown, happened)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", None),
        ("  \n", None),
        ("{}", None),
        ('{"new": 1}', None),
        ("<html>", OutcomeUnknown),
        ("[]", OutcomeUnknown),
    ],
)
async def test_delete_expects_an_empty_answer(body: str, kind: type[AimlopsError] | None, clock: Clock) -> None:
    """An object is taken too, should the API give one some day; a web page is somebody else's answer."""
    async with client_of(answers(200, body), clock) as api:
        if kind:
            assert type(await change_failure(api, DELETE)) is kind
        else:
            assert await api.change(DELETE, SECRETS) is None


@pytest.mark.parametrize("operation", CHANGES, ids=lambda op: op.tool_name())
async def test_change_cannot_be_sent_as_a_read(operation: Operation[Any], clock: Clock, sandbox: Sandbox) -> None:
    async with client_of(SandboxTransport(sandbox), clock) as api:
        with pytest.raises(TypeError, match=r"changes things: use change\(\)"):
            await api.read(operation)

    assert not sandbox.seen


def test_only_three_operations_change() -> None:
    changing = {name for name, op in OPERATIONS.items() if op.spec.method != "GET"}
    assert changing == {op.tool_name() for op in CHANGES}
    assert {name for name, op in OPERATIONS.items() if op.spec.effect != "read"} == changing


# ---- a list to its end


@pytest.mark.parametrize("size", [1, 7, 45, 100])
async def test_every_page_of_a_list_is_walked(size: int, connect: Connect, sandbox: Sandbox) -> None:
    async with connect() as api:
        found = await walk(api, ListPlatforms(size=size))

    assert len({platform.release_id for platform in found}) == len(found) == SEEDED_PLATFORMS
    assert len(sandbox.seen) == -(-SEEDED_PLATFORMS // size)


async def test_walk_ends_at_its_limit(connect: Connect, sandbox: Sandbox) -> None:
    async with connect() as api:
        found = await walk(api, ListPlatforms(size=10), max_items=25)

    assert (len(found), len(sandbox.seen)) == (25, 3)


async def test_list_that_repeats_itself_ends(clock: Clock) -> None:
    """Over fifty of the vendor's lists ignore the page they are asked for."""
    image = {"image_id": "IMAGE-1"}
    wire = answers(200, json.dumps({"contents": [image, image], "total_count": 1_000}))
    async with client_of(wire, clock) as api:
        found = await walk(api, ListImages())

    assert [item.image_id for item in found] == ["IMAGE-1"]
    assert [request.url.params["page"] for request in wire.requests] == ["0", "1"]


# ---- the client itself


async def test_starting_a_client_sends_nothing(clock: Clock) -> None:
    wire = answers(200)
    async with client_of(wire, clock):
        pass

    assert wire.requests == []


async def test_without_keys_nothing_is_sent(clock: Clock) -> None:
    wire = answers(200)
    async with open_client(Settings.read(), clock.ms, transport=wire) as api:
        errors = [await failure(api), await change_failure(api, DELETE)]

    assert [type(error) for error in errors] == [ConfigurationError, ConfigurationError]
    assert wire.requests == []


async def test_many_reads_at_once_are_all_answered(sandbox: Sandbox, clock: Clock) -> None:
    totals: list[int] = []
    async with serving(sandbox) as base_url, client_of(None, clock, endpoint=base_url) as api:

        async def read() -> None:
            totals.append((await api.read(ListPlatforms(size=1))).total_count)

        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(read)

    assert totals == [SEEDED_PLATFORMS] * 30
    assert len(sandbox.seen) == 30


TOKEN = "canary-token-2Hd"
FAULTS = (
    "status=503",
    "status=429",
    "status=401",
    "status=406",
    "status=500",
    "drop_before",
    "truncated",
    "html",
    "not_json",
    "wrong_shape",
    "redirect",
)


async def test_no_secret_is_in_any_error_log_or_text(
    sandbox: Sandbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Every logger of every library at its loudest; the whole traceback and all it chains."""
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    token = SecretStr(TOKEN)
    async with serving(sandbox) as base_url, client_of(None, clock, endpoint=base_url, auth_token=token) as api:
        for fault in FAULTS:
            sandbox.faults.add(parse(f"{fault}:times=100"))
            for error in (await failure(api), await change_failure(api, CREATE)):
                texts += [error.explain("it"), repr(error), *traceback.format_exception(error)]
            sandbox.faults.clear()
        assert (await api.read(ListPlatforms(release_name="canary-name"))).total_count == 0
        parts: dict[str, object] = vars(api)
        texts += [repr(api), repr(parts), repr(api.wire(CREATE))]

    texts += [f"{record.getMessage()} {vars(record)!r}" for record in caplog.records]
    forbidden = (SECRET_KEY, TOKEN, PASSWORD, "scp-signature")
    assert not [text for text in texts for secret in forbidden if secret.lower() in text.lower()]
    said = [record.getMessage() for record in caplog.records]
    assert "stamina.retry_scheduled" in said
    assert not [message for message in said if "canary-name" in message]


async def test_access_key_is_sent_and_never_the_secret_one(clock: Clock) -> None:
    wire = answers(200, '{"contents": [], "total_count": 0}')
    async with client_of(wire, clock) as api:
        await api.read(ListPlatforms())

    (request,) = wire.requests
    assert request.headers["Scp-Accesskey"] == ACCESS_KEY
    assert SECRET_KEY not in f"{request.url} {request.headers.raw!r}"


def test_retries_are_on_in_these_tests() -> None:
    """Another test that switched stamina off would make half of this file green for nothing."""
    assert stamina.is_active()
