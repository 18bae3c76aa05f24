"""check_setup: what it finds out about this server, whatever is wrong with it. It never raises."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from aimlops_server.procedures.setup import CERTIFICATES, SAMPLES, check_setup
from aimlops_server.sandbox.app import ACCESS_KEY, Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.profile import Profile, Version
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_tools.models.neighbours import LOOKUPS
from pydantic import SecretStr

from tests.transports import client_of
from tests.world import ENDPOINT, Clock, make_sandbox, session, settings

pytestmark = pytest.mark.anyio

JsonObject = dict[str, Any]
SERVICES = ["ske", "vpc", "security-group", "filestorage", "virtualserver", "loadbalancer", "dns", "quota"]
WAY = " (no proxy, the system's certificates)"
SOUND: list[JsonObject] = [
    {"name": "keys", "finding": "pass", "detail": f"set; the access key starts with {ACCESS_KEY[:4]}…"},
    {"name": "network", "finding": "pass", "detail": f"{ENDPOINT} answers{WAY}"},
    {"name": "clock", "finding": "pass", "detail": "within 0 s of the service's"},
    {"name": "version", "finding": "pass", "detail": "1.1 is used; offered: 1.2 CURRENT, 1.1 SUPPORTED"},
    {
        "name": "accepted",
        "finding": "pass",
        "detail": "the keys are accepted and the product is enabled; 45 platforms",
    },
    *({"name": service, "finding": "pass", "detail": "can be read"} for service in SERVICES),
]


@pytest.fixture(autouse=True)
def _certificates_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CERTIFICATES:
        monkeypatch.delenv(name, raising=False)


async def setup_of(sandbox: Sandbox, clock: Clock, era: str = "2026-07-28", **options: Any) -> JsonObject:
    """The whole answer."""
    async with session(sandbox, era, clock=clock, **options) as client:
        result = await client.call_tool("check_setup", {})
    assert not result.is_error
    assert result.structured_content is not None
    return result.structured_content


def unusual(setup: JsonObject) -> dict[str, tuple[str, str, str | None]]:
    """What is not as in a sound setup: the finding, its detail, and what to do."""
    return {c["name"]: (c["finding"], c["detail"], c.get("do")) for c in setup["checks"] if c not in SOUND}


def test_samples_read_each_neighbouring_service_once() -> None:
    services = [sample.spec.service for sample in SAMPLES]

    assert services == SERVICES
    assert set(services) == {lookup.spec.service for lookup in LOOKUPS.values()}


async def test_sound_setup_passes_every_check(sandbox: Sandbox, clock: Clock, era: str) -> None:
    assert await setup_of(sandbox, clock, era) == {
        "ready": True,
        "checks": SOUND,
        "settings": {
            "region": "kr-west1",
            "environment": "e",
            "account_id": "not set: the key's own",
            "endpoint": ENDPOINT,
            "api_version": "1.1",
            "confirm": "auto",
            "read_only": False,
        },
    }
    assert sandbox.changes == ()


async def test_no_keys_are_told_once_and_nothing_signed_is_sent(sandbox: Sandbox, clock: Clock, era: str) -> None:
    setup = await setup_of(sandbox, clock, era, access_key=None, secret_key=None)
    missing = "SCP_ACCESS_KEY and SCP_SECRET_KEY not set: requests cannot be signed."

    assert (setup["ready"], [check["name"] for check in setup["checks"]]) == (
        False,
        ["keys", "network", "clock", "version"],
    )
    assert unusual(setup) == {
        "keys": (
            "fail",
            f"{missing} Nothing that needs them was checked.",
            "ask the user to set SCP_ACCESS_KEY and SCP_SECRET_KEY in this server's environment (or in "
            "~/.scpconf/credentials.json) and to restart it; never ask for a key in the chat",
        )
    }
    assert {seen.target for seen in sandbox.seen} == {"/"}


async def test_wrong_keys_are_refused_and_never_shown(sandbox: Sandbox, clock: Clock) -> None:
    setup = await setup_of(sandbox, clock, secret_key=SecretStr("canary-secret"))

    assert setup["ready"] is False
    found = unusual(setup)
    finding, detail, do = found.pop("accepted")
    assert (finding, detail[:31]) == ("fail", "The service answered HTTP 401; ")
    assert do == (
        "check SCP_ACCESS_KEY and SCP_SECRET_KEY, then this machine's clock: a clock that is off spoils the signature "
        "(the service's clock and this machine's differ by 0 s)"
    )
    # One reason, told once: the services need not repeat it.
    assert found == dict.fromkeys(SERVICES, ("could not check", "the keys are not accepted (HTTP 401)", None))
    assert "canary" not in str(setup)
    assert ACCESS_KEY not in str(setup)


@pytest.mark.parametrize(
    ("ahead_s", "detail"),
    [(4000, "this machine's clock is 4000 s ahead of"), (-100, "this machine's clock is 100 s behind")],
)
async def test_clock_that_is_off_is_measured(sandbox: Sandbox, clock: Clock, ahead_s: int, detail: str) -> None:
    setup = await setup_of(sandbox, Clock(clock.now_s + ahead_s))

    assert unusual(setup)["clock"] == (
        "fail",
        f"{detail} the service's",
        "synchronise this machine's clock (NTP): signatures carry the time",
    )
    # The sandbox bears a quarter of an hour.
    assert setup["ready"] is (abs(ahead_s) < 900)


async def test_clock_a_little_off_is_well(sandbox: Sandbox, clock: Clock) -> None:
    assert unusual(await setup_of(sandbox, Clock(clock.now_s + 59)))["clock"] == (
        "pass",
        "within 59 s of the service's",
        None,
    )


async def test_version_that_is_not_offered_names_the_current_one(sandbox: Sandbox, clock: Clock) -> None:
    setup = await setup_of(sandbox, clock, api_version="1.0")
    found = unusual(setup)

    assert setup["ready"] is False
    assert found["version"] == (
        "fail",
        "1.0 is not offered: 1.2 CURRENT, 1.1 SUPPORTED",
        "set SCP_API_VERSION=1.2",
    )
    assert found["accepted"][0] == "fail"
    assert found.keys() == {"version", "accepted"}


async def test_unreadable_list_of_versions_is_no_failure(sandbox: Sandbox, clock: Clock) -> None:
    def answer(request: httpx2.Request) -> bytes | None:
        return b"[]" if request.url.path == "/" else None

    setup = await setup_of(sandbox, clock, transport=Altered(SandboxTransport(sandbox), answer))

    assert unusual(setup)["version"] == (
        "could not check",
        "the service's list of versions could not be read",
        None,
    )
    assert setup["ready"] is True


async def test_product_that_is_not_enabled_is_told_apart_from_wrong_keys(clock: Clock) -> None:
    setup = await setup_of(make_sandbox(clock, profile=Profile(product_enabled=False)), clock)
    found = unusual(setup)

    assert (setup["ready"], list(found)) == (False, ["accepted"])
    assert found["accepted"][2] is not None
    assert found["accepted"][2].startswith("the product is not enabled for this account or region")


async def test_denied_service_is_named_and_the_rest_works(clock: Clock) -> None:
    setup = await setup_of(make_sandbox(clock, profile=Profile(denied_services=frozenset({"vpc"}))), clock)
    found = unusual(setup)

    assert (setup["ready"], list(found)) == (True, ["vpc"])
    finding, detail, do = found["vpc"]
    assert finding == "fail"
    assert "permission needed: vpc:ListVpcs" in detail
    assert do == (
        "ask an administrator to allow this action for the key's user in IAM; until then its values come from the user"
    )


async def test_key_without_rights_in_the_product_is_not_ready(clock: Clock) -> None:
    setup = await setup_of(make_sandbox(clock, profile=Profile(denied=frozenset({"list_platforms"}))), clock)

    assert (setup["ready"], list(unusual(setup))) == (False, ["accepted"])


async def test_plain_endpoint_turns_the_neighbours_off_and_says_so(sandbox: Sandbox, clock: Clock) -> None:
    setup = await setup_of(sandbox, clock, endpoint="https://one.example.com")

    assert setup["ready"] is True
    assert [check["name"] for check in setup["checks"]][-1] == "neighbours"
    assert unusual(setup)["neighbours"] == (
        "fail",
        "SCP_ENDPOINT is one service's address: find_options and the checks of ids are off",
        "put {service} into SCP_ENDPOINT, or unset it",
    )
    assert {seen.version for seen in sandbox.seen} == {None, "aimlops-platform 1.1"}


async def test_refused_version_of_a_neighbour_is_found_out(clock: Clock) -> None:
    profile = Profile(neighbour_versions={"vpc": (Version("1.9", "CURRENT", "-"),)})

    assert unusual(await setup_of(make_sandbox(clock, profile=profile), clock)) == {}


class Altered(httpx2.AsyncBaseTransport):
    """The sandbox, some of whose answers are others: what `other` gives, or raises, in their place."""

    def __init__(self, inner: SandboxTransport, other: Callable[[httpx2.Request], bytes | None]) -> None:
        self._inner = inner
        self._other = other
        self.now = self.most = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            body = self._other(request)
            if body is not None:
                return httpx2.Response(200, stream=httpx2.ByteStream(body))
            return await self._inner.handle_async_request(request)
        finally:
            self.now -= 1


@pytest.mark.parametrize(
    ("words", "variable", "way", "do"),
    [
        ("Network is unreachable", None, WAY, "check the network and the region"),
        ("Connection refused", "HTTPS_PROXY", " (HTTPS_PROXY is set)", "check the proxy"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate",
            "https_proxy",
            " (https_proxy is set)",
            "a proxy that opens TLS is in the way: put its CA's file into SSL_CERT_FILE",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate",
            "SSL_CERT_FILE",
            " (SSL_CERT_FILE is set)",
            "a proxy that opens TLS is in the way: put its CA's file into SSL_CERT_FILE",
        ),
    ],
)
async def test_dead_network_names_what_is_in_the_way(
    sandbox: Sandbox,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    variable: str | None,
    way: str,
    do: str,
) -> None:
    if variable:
        monkeypatch.setenv(variable, "http://user:canary@proxy.example.com:3128")

    def dead(request: httpx2.Request) -> bytes | None:
        raise httpx2.ConnectError(words, request=request)

    setup = await setup_of(sandbox, clock, transport=Altered(SandboxTransport(sandbox), dead))
    found = unusual(setup)

    assert setup["ready"] is False
    assert found["network"] == ("fail", f"No connection to {ENDPOINT} ({words}).{way}", do)
    assert {found[name][0] for name in ("version", "accepted", *SERVICES)} == {"could not check"}
    # A proxy's address may hold a password.
    assert "canary" not in str(setup)


@pytest.mark.parametrize("fault", ["drop_before", "status=500", "status=503", "not_json", "wrong_shape", "html"])
async def test_any_failure_is_a_finding(sandbox: Sandbox, clock: Clock, fault: str) -> None:
    sandbox.faults.add(parse(f"GET:{fault}:times=99"))
    setup = await setup_of(sandbox, clock)

    assert setup["ready"] is False
    assert {name: unusual(setup)[name][0] for name in ("accepted", *SERVICES)} == dict.fromkeys(
        ("accepted", *SERVICES), "could not check"
    )


async def test_hanging_network_is_given_up_in_time(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults.add(parse("GET:hang:times=99"))
    with anyio.fail_after(5):
        async with client_of(SandboxTransport(sandbox), clock) as api:
            setup = await check_setup(api, settings(), 0.2)

    assert setup.ready is False
    assert {check.name: check.detail for check in setup.checks if check.finding != "pass"} == dict.fromkeys(
        ("network", "version", "accepted", *SERVICES), "no answer within 0.2 s"
    )


async def test_checks_run_at_once_within_the_limit(sandbox: Sandbox, clock: Clock) -> None:
    transport = Altered(SandboxTransport(sandbox), lambda _: None)
    await setup_of(sandbox, clock, transport=transport)

    assert transport.most == 8
