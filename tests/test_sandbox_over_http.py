"""The sandbox on a loopback port: what only a network shows, and that it is the same service as in memory."""

import base64
import hashlib
import hmac
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import httpx2
import pytest
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.seed import ENTERPRISE_IMAGE_ID, FREE_CLUSTER_ID, PROJECT_ID, SEEDED_PLATFORMS
from aimlops_server.sandbox.serve import serve

from tests.world import NO_CERTIFICATES

pytestmark = pytest.mark.anyio

P = "/v1/aimlops-platform"
LIMIT_S = 10
BODY = {
    "ai_ml_ops_platform_create_request": {
        "release_name": "aiml-test",
        "ai_ml_ops_platform_type": "Enterprise",
        "image_id": ENTERPRISE_IMAGE_ID,
        "cluster_id": FREE_CLUSTER_ID,
    }
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def signed(method: str, url: str) -> dict[str, str]:
    """The headers of one request, straight from the vendor's recipe."""
    timestamp = str(int(time.time() * 1000))
    message = method + url + timestamp + ACCESS_KEY + "Openapi"
    digest = hmac.new(SECRET_KEY.encode(), message.encode(), hashlib.sha256).digest()
    return {
        "Scp-Accesskey": ACCESS_KEY,
        "Scp-Signature": base64.b64encode(digest).decode(),
        "Scp-Timestamp": timestamp,
        "Scp-ClientType": "Openapi",
    }


@asynccontextmanager
async def serving(sandbox: Sandbox, host: str = "127.0.0.1") -> AsyncGenerator[str, None]:
    """The sandbox's base URL while it is served; leaving ends the server, and must not take long."""
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as tasks:

            async def run(*, task_status: anyio.abc.TaskStatus[str]) -> None:
                await serve(sandbox, host, 0, task_status.started)

            yield await tasks.start(run)
            tasks.cancel_scope.cancel()


async def call(base_url: str, method: str, target: str, *, timeout_s: float = LIMIT_S) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=timeout_s, trust_env=False, verify=NO_CERTIFICATES) as client:
        json = BODY if method == "POST" else None
        url = base_url + target
        return await client.request(method, url, headers=signed(method, url), json=json)


def has_release(sandbox: Sandbox) -> bool:
    return any(platform.release_name == "aiml-test" for platform in sandbox.world.platforms())


async def test_signed_requests_are_served() -> None:
    sandbox = Sandbox()
    async with serving(sandbox) as base_url:
        listed = await call(base_url, "GET", f"{P}?size=20&page=0&sort=created_dt%3Adesc")
        created = await call(base_url, "POST", P)
        state = await call(base_url, "GET", f"{P}/{created.json()['resource_id']}")

    assert (listed.status_code, listed.json()["total_count"]) == (200, SEEDED_PLATFORMS)
    assert (created.status_code, created.json()["project_id"]) == (201, PROJECT_ID)
    assert state.json()["release_state"] == "CREATING"
    assert [request.status for request in sandbox.seen] == [200, 201, 200]


async def test_unsigned_requests_are_not() -> None:
    async with serving(Sandbox()) as base_url, httpx2.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as client:
        assert (await client.get(base_url + P)).status_code == 404
        assert (await client.options(base_url + P)).status_code == 403
        assert (await client.get(base_url + "/")).json()["versions"][0]["links"] == [
            {"href": f"{base_url}/v1", "rel": "self"}
        ]


async def test_signature_of_a_public_base_url_is_accepted() -> None:
    sandbox = Sandbox(profile=Profile(public_base_urls=("https://public.example",)))
    async with serving(sandbox) as base_url, httpx2.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as client:
        response = await client.get(base_url + P, headers=signed("GET", f"https://public.example{P}"))

    assert response.status_code == 200


@pytest.mark.parametrize(("kind", "acted"), [("drop_before", False), ("drop_after", True)])
async def test_dropped_connection_has_no_answer(kind: str, acted: bool) -> None:
    """Not one byte comes back, whether or not the service acted."""
    sandbox = Sandbox()
    sandbox.faults.add(parse(f"POST:{kind}"))
    async with serving(sandbox) as base_url:
        with pytest.raises(httpx2.ReadError):
            await call(base_url, "POST", P)
        again = await call(base_url, "GET", P)

    assert has_release(sandbox) is acted
    assert again.status_code == 200
    assert sandbox.changes[0].status is None


async def test_dropped_connection_is_a_reset() -> None:
    """On the wire: no bytes, and a reset rather than an orderly end."""
    sandbox = Sandbox()
    sandbox.faults.add(parse("drop_after"))
    async with serving(sandbox) as base_url:
        port = int(base_url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()


async def test_truncated_answer_ends_inside_its_body() -> None:
    sandbox = Sandbox()
    sandbox.faults.add(parse("POST:truncated"))
    async with serving(sandbox) as base_url:
        url = base_url + P
        async with (
            httpx2.AsyncClient(timeout=LIMIT_S, trust_env=False, verify=NO_CERTIFICATES) as client,
            client.stream("POST", url, headers=signed("POST", url), json=BODY) as response,
        ):
            received = bytearray()

            async def read() -> None:
                async for chunk in response.aiter_raw():
                    received.extend(chunk)

            with pytest.raises(httpx2.RemoteProtocolError):
                await read()

    assert response.status_code == 201
    assert len(received) == int(response.headers["content-length"]) // 2
    assert has_release(sandbox)


async def test_hang_ends_with_the_callers_timeout() -> None:
    sandbox = Sandbox()
    sandbox.faults.add(parse("POST:hang"))
    async with serving(sandbox) as base_url:
        with pytest.raises(httpx2.ReadTimeout):
            await call(base_url, "POST", P, timeout_s=0.1)
        again = await call(base_url, "GET", P)

    assert again.status_code == 200
    assert not has_release(sandbox)


async def test_hanging_request_does_not_hold_up_the_end() -> None:
    """The server ends although a caller still waits for an answer that never comes."""
    sandbox = Sandbox()
    sandbox.faults.add(parse("GET:hang"))
    failures: list[type[Exception]] = []

    async def wait(base_url: str) -> None:
        try:
            await call(base_url, "GET", P, timeout_s=60)
        except httpx2.TransportError as failure:
            failures.append(type(failure))

    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as tasks, serving(sandbox) as base_url:
            tasks.start_soon(wait, base_url)
            while not sandbox.seen:
                await anyio.lowlevel.checkpoint()

    assert failures == [httpx2.RemoteProtocolError]


@pytest.mark.parametrize(("timeout_s", "answered"), [(LIMIT_S, True), (0.1, False)])
async def test_slow_answer_is_for_the_patient(timeout_s: float, answered: bool) -> None:
    sandbox = Sandbox()
    sandbox.faults.add(parse(f"POST:slow={0.01 if answered else 60}"))
    async with serving(sandbox) as base_url:
        if answered:
            assert (await call(base_url, "POST", P, timeout_s=timeout_s)).status_code == 201
        else:
            with pytest.raises(httpx2.ReadTimeout):
                await call(base_url, "POST", P, timeout_s=timeout_s)

    assert has_release(sandbox)


async def test_slow_answer_ends_when_the_caller_leaves() -> None:
    """A caller who gives up leaves no work behind."""
    ended = anyio.Event()

    async def sleep(_: float) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    sandbox = Sandbox(sleep=sleep)
    sandbox.faults.add(parse("GET:slow"))
    async with serving(sandbox) as base_url:
        with pytest.raises(httpx2.ReadTimeout):
            await call(base_url, "GET", P, timeout_s=0.1)
        with anyio.fail_after(LIMIT_S / 2):
            await ended.wait()

    assert sandbox.seen[0].status is None


@pytest.mark.parametrize(
    ("fault", "status", "part", "acted"),
    [
        ("POST:status=503", 503, "upstream connect error", False),
        ("POST:status=429:retry_after=2", 429, "local_rate_limited", False),
        ("POST:status_after=500", 500, "ContactAdminForAssistance", True),
        ("POST:html", 201, "<html>", True),
        ("POST:html=417", 417, "Support ID", False),
        ("POST:not_json", 201, "{'result': accepted", True),
        ("POST:wrong_shape", 201, "[]", True),
        ("POST:redirect", 307, "", False),
        ("POST:fails_later", 201, "resource_id", True),
    ],
)
async def test_fault_over_http(fault: str, status: int, part: str, acted: bool) -> None:
    sandbox = Sandbox()
    sandbox.faults.add(parse(fault))
    async with serving(sandbox) as base_url:
        response = await call(base_url, "POST", P)

    assert (response.status_code, part in response.text) == (status, True)
    assert has_release(sandbox) is acted


async def test_huge_answer_arrives_whole() -> None:
    sandbox = Sandbox()
    sandbox.faults.add(parse("GET:huge"))
    async with serving(sandbox) as base_url:
        response = await call(base_url, "GET", P)

    assert len(response.content) > 8 * 1024 * 1024
    assert response.json()["total_count"] == SEEDED_PLATFORMS


async def test_connection_serves_many_requests() -> None:
    """A kept connection answers on, after an empty answer too."""
    sandbox = Sandbox()
    async with serving(sandbox) as base_url, httpx2.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as client:
        statuses: list[int] = []
        for method, target in (
            ("GET", P),
            ("DELETE", f"{P}/13f7a9d4c1964020f4afc730b7146ed0"),
            ("GET", f"{P}/images"),
        ):
            response = await client.request(method, base_url + target, headers=signed(method, base_url + target))
            statuses.append(response.status_code)

    assert statuses == [200, 200, 200]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "", "::"])
async def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        await serve(Sandbox(), host, 0, print)


async def test_localhost_is_named_in_its_url() -> None:
    async with serving(Sandbox(), "localhost") as base_url:
        assert base_url.startswith("http://localhost:")
        assert (await call(base_url, "GET", P)).status_code == 200


async def test_taken_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await serve(Sandbox(), "127.0.0.1", taken.getsockname()[1], print)


async def test_port_is_free_after_the_end() -> None:
    async with serving(Sandbox()) as base_url:
        pass

    with socket.create_server(("127.0.0.1", int(base_url.rpartition(":")[2]))):
        pass
