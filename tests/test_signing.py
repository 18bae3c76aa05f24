"""What is signed is what is sent: the vendor's recipe, checked by vectors and by a verifier that reads raw bytes."""

from typing import Any

import pytest
from aimlops_server.arguments import parse_arguments
from aimlops_server.client import ApiClient
from aimlops_server.errors import InvalidArguments, Refused
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox
from aimlops_server.sandbox.faults import Fault, FaultKind
from aimlops_server.sandbox.seed import DEPLOYED_CLUSTER_ID, DEPLOYED_RELEASE_ID
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.signing import Keys, sign
from aimlops_tools import OPERATIONS, Effect, Operation, images, platforms
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.transports import Recorder, client_of, serving
from tests.world import Clock, make_sandbox

BASE = "https://aimlops-platform.kr-west1.e.samsungsdscloud.com/v1/aimlops-platform"
TAKEN = f"{BASE}/check-duplication"
ID = "10a599e031e749b7b260868f441e862b"
ACCOUNT = "f1e6c81a2b054582878cb9724dc2ce9f"
TIMESTAMP_MS = 1_605_290_625_682

# The vendor publishes no vectors: these were computed from its recipe by a second implementation, with the access key
# AKEXAMPLE and the secret key SKEXAMPLE. Number, method, URL, account id, signature.
VECTORS = (
    (1, "GET", f"{BASE}?size=20&page=0", "", "nFA9xGcTfFjACp3hPs+SYJTXHR01O+CuMybO7CI9SbU="),
    (
        2,
        "GET",
        f"{BASE}/check-duplication?release_name=aiml%20test",
        "",
        "JESqzLgzvIa4U7TJ/eEU4gNRPqRDSkyMbOTGBjOaGXY=",
    ),
    (3, "GET", f"{TAKEN}?release_name=aiml+test", "", "eLqcRuo68vfsEpyDMLoV0qcyrYTOw11t0wVwxhLAokg="),
    (4, "POST", BASE, "", "LthNkA1+HKcfKmnFAQ92XXaWwTV752QZcyVO7bsUxrY="),
    (5, "PUT", f"{BASE}/{ID}", "", "tuoxbFjRL0LOdutAeCNjnYz/A8KF23nKZBtdJYdQQjY="),
    (6, "DELETE", f"{BASE}/{ID}?with_k8s=true", "", "iPGQD/Q1EpxTbw4S1bg2DYneWD7aCePGiM5LNxWo0SI="),
    (7, "DELETE", f"{BASE}/{ID}", "", "32rqCZUrNCRjKR5dULQkVURe3DXsIZSEzZh0NddVkaA="),
    (8, "GET", f"{BASE}?size=20&page=0", ACCOUNT, "rPCPNzyZfbIq08fhv2V7bDXdjjz0iQ2ASjNf5Q/rKFk="),
    (9, "GET", f"{BASE}?release_name=%ED%95%9C%EA%B8%80", "", "0c57NV/eAK6m+VFOLWLu8aNHu3F3rzGr/+mLRWXCtVk="),
    (10, "GET", f"{BASE}?sort=created_dt%3Adesc", "", "5J2Z2Tn0rKTskR+edDwCpwbmoRyLJzF1GKqvCInh9G4="),
)

# An empty text means "left out"; half a character (a lone surrogate) cannot be sent at all.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
hostile = st.sampled_from(
    ["a b", "a+b", "a%20b", "%", "%zz", "%2F..", "a&b=c", "a?b", "a#b", "/../", "\\", "한글", "\0\n"]
)
release_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
cluster_ids = st.from_regex(r"[0-9a-fA-F]{32}", fullmatch=True)

# Function-scoped fixtures hold nothing that one example could leave to the next.
MANY = limits(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(("number", "method", "url", "account_id", "signature"), VECTORS)
def test_signature_is_the_vectors(number: int, method: str, url: str, account_id: str, signature: str) -> None:
    del number
    headers = sign(Keys("AKEXAMPLE", SecretStr("SKEXAMPLE"), account_id), method, url, TIMESTAMP_MS)

    expected = {
        "Scp-Accesskey": "AKEXAMPLE",
        "Scp-Signature": signature,
        "Scp-Timestamp": "1605290625682",
        "Scp-ClientType": "Openapi",
    }
    assert headers == (expected | {"Scp-AccountId": account_id} if account_id else expected)


def test_token_travels_beside_the_signature_and_not_in_it() -> None:
    keys = Keys("AKEXAMPLE", SecretStr("SKEXAMPLE"))
    with_token = Keys("AKEXAMPLE", SecretStr("SKEXAMPLE"), auth_token=SecretStr("token"))

    signed, with_it = (sign(k, "GET", BASE, TIMESTAMP_MS) for k in (keys, with_token))

    assert with_it == signed | {"X-Auth-Token": "token"}


def test_secret_key_is_signed_with_as_utf8() -> None:
    assert sign(Keys("a", SecretStr("비밀")), "GET", BASE, 1) != sign(Keys("a", SecretStr("?")), "GET", BASE, 1)


def test_keys_hide_their_secrets() -> None:
    keys = Keys("AKEXAMPLE", SecretStr("SKEXAMPLE"), "account", SecretStr("TOKENEXAMPLE"))
    assert not [s for s in ("SKEXAMPLE", "TOKENEXAMPLE") if s in repr(keys) + str(keys)]


def any_request(value: str, release_id: str, cluster_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Every operation that has room for these values."""
    return [
        ("list_platforms", {"release_name": value, "cluster_name": value, "status": value, "created_by": value}),
        ("list_platforms", {"sort": value, "version": value, "kubeflow_type": value}),
        ("check_platform_name", {"release_name": value}),
        ("list_images", {"image_name": value, "sort": value}),
        ("get_platform", {"release_id": release_id}),
        ("check_cluster_version", {"cluster_id": cluster_id, "version": value}),
        ("list_nodes", {"cluster_id": cluster_id, "sort": value}),
        ("delete_platform", {"release_id": release_id, "with_k8s": len(value) % 2 == 0}),
        ("update_platform", {"release_id": release_id, "ai_ml_ops_platform_endpoint_type": "Public"}),
    ]


async def is_authentic(api: ApiClient, operation: Operation[Any]) -> bool:
    """Whether the service took the signature; what it thinks of the request itself does not matter."""
    try:
        await (api.read(operation) if operation.spec.effect is Effect.READ else api.change(operation))
    except Refused as refused:
        return refused.status != 401
    return True


@pytest.mark.anyio
@MANY
@given(texts | hostile, release_ids, cluster_ids)
async def test_every_value_is_signed_as_it_is_sent(value: str, release_id: str, cluster_id: str) -> None:
    """The sandbox verifies the raw bytes that reach it, and never finds them signed differently."""
    clock = Clock()
    sandbox = make_sandbox(clock)
    requests = [parse_arguments(OPERATIONS[name], given) for name, given in any_request(value, release_id, cluster_id)]
    async with client_of(SandboxTransport(sandbox), clock, account_id="account") as api:
        refused = [request for request in requests if not await is_authentic(api, request)]

    assert refused == []
    assert len(sandbox.seen) == len(requests)


@pytest.mark.anyio
async def test_every_value_is_signed_as_it_is_sent_over_http(clock: Clock, sandbox: Sandbox) -> None:
    values = ("a b+c%20d&e=f?g#h/../i\\j", "한글 이름", "\0\n\t\x7f", "😀\u202e", "%", ":;,@!$'()*[]{}|^`~\"<>")
    async with serving(sandbox) as base_url, client_of(None, clock, endpoint=base_url) as api:
        for value in values:
            for name, arguments in any_request(value, DEPLOYED_RELEASE_ID, DEPLOYED_CLUSTER_ID):
                assert await is_authentic(api, parse_arguments(OPERATIONS[name], arguments)), (name, value)

    assert {request.status for request in sandbox.seen} <= {200, 400, 404, 409}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.example",
        "https://api.example/",
        "https://api.example:443",
        "https://api.example:8443",
        "HTTPS://API.example",
        "http://localhost:80",
        "http://[::1]:8080",
    ],
)
async def test_replaced_address_is_signed_as_it_is_sent(endpoint: str, clock: Clock, sandbox: Sandbox) -> None:
    async with client_of(SandboxTransport(sandbox), clock, endpoint=endpoint) as api:
        await api.read(platforms.ListPlatforms())

    assert [request.status for request in sandbox.seen] == [200]


@pytest.mark.anyio
async def test_wrong_secret_is_found_out(clock: Clock, sandbox: Sandbox) -> None:
    """The verifier of these tests does refuse: their silence means something."""
    async with client_of(SandboxTransport(sandbox), clock, secret_key=SecretStr("another")) as api:
        assert not await is_authentic(api, platforms.ListPlatforms())


@pytest.mark.anyio
async def test_every_attempt_is_signed_anew(clock: Clock, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(FaultKind.STATUS, status=503, times=2))
    wire = Recorder(SandboxTransport(sandbox), clock)
    first_ms = clock.ms()
    async with client_of(wire, clock) as api:
        await api.read(platforms.ListPlatforms())

    timestamps = [request.headers["Scp-Timestamp"] for request in wire.requests]
    assert timestamps == [str(first_ms), str(first_ms + 1000), str(first_ms + 2000)]
    assert len({request.headers["Scp-Signature"] for request in wire.requests}) == 3
    assert len({str(request.url) for request in wire.requests}) == 1


@pytest.mark.anyio
async def test_whole_request_on_the_wire(clock: Clock, sandbox: Sandbox) -> None:
    """The line and every header of one signed read, with account and token."""
    wire = Recorder(SandboxTransport(sandbox), clock)
    token = SecretStr("token")
    async with client_of(wire, clock, account_id=ACCOUNT, auth_token=token, language="ko-KR", api_version="1.2") as api:
        await api.read(images.ListImages(image_name="a b"))

    (request,) = wire.requests
    url = f"{BASE}/images?size=20&page=0&sort=created_dt%3Adesc&image_name=a%20b"
    keys = Keys(ACCESS_KEY, SecretStr(SECRET_KEY), ACCOUNT, token)
    assert (request.method, str(request.url)) == ("GET", url)
    assert {name: value for name, value in request.headers.items() if name not in {"connection", "user-agent"}} == {
        "host": "aimlops-platform.kr-west1.e.samsungsdscloud.com",
        "accept": "application/json",
        "accept-encoding": "identity",
        "accept-language": "ko-KR",
        "scp-api-version": "aimlops-platform 1.2",
        **{name.lower(): value for name, value in sign(keys, "GET", url, 1_790_000_000_000).items()},
    }


@pytest.mark.anyio
async def test_body_is_declared_as_json(clock: Clock, sandbox: Sandbox) -> None:
    wire = Recorder(SandboxTransport(sandbox), clock)
    async with client_of(wire, clock) as api:
        update = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
        await api.change(parse_arguments(OPERATIONS["update_platform"], update))

    (request,) = wire.requests
    assert request.headers["Content-Type"] == "application/json"
    assert [(seen.target, seen.body) for seen in sandbox.seen] == [
        (f"/v1/aimlops-platform/{DEPLOYED_RELEASE_ID}", b'{"ai_ml_ops_platform_endpoint_type":"Public"}')
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("operation", "version"),
    [("list_nodes", "1.0"), ("list_storage_classes", "1.0"), ("validate_cluster_namespace", "1.2")],
)
async def test_version_is_the_operations_own(operation: str, version: str, clock: Clock, sandbox: Sandbox) -> None:
    """Two operations exist in 1.0 alone; the others follow the setting."""
    async with client_of(SandboxTransport(sandbox), clock, api_version="1.2") as api:
        await api.read(parse_arguments(OPERATIONS[operation], {"cluster_id": DEPLOYED_CLUSTER_ID}))

    assert [(seen.version, seen.status) for seen in sandbox.seen] == [(f"aimlops-platform {version}", 200)]


@pytest.mark.parametrize("half", ["\ud800", "a\udfff", "\ude00\ud83d"])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("list_platforms", "release_name"),
        ("list_platforms", "sort"),
        ("check_platform_name", "release_name"),
        ("list_images", "image_name"),
    ],
)
def test_half_a_character_is_refused_before_it_is_signed(name: str, field: str, half: str) -> None:
    """Python's JSON reader lets a lone surrogate in; no URL and no UTF-8 can carry it."""
    with pytest.raises(InvalidArguments) as refused:
        parse_arguments(OPERATIONS[name], {field: half})

    # Where a length is declared too, pydantic finds it first.
    also = "" if name == "check_platform_name" or field == "sort" else ", NaN, or too long a number"
    assert refused.value.happened == f"Invalid arguments: {field}: half a character{also} cannot be sent."


@pytest.mark.anyio
async def test_url_too_long_to_send_is_refused(clock: Clock, sandbox: Sandbox) -> None:
    async with client_of(SandboxTransport(sandbox), clock) as api:
        with pytest.raises(InvalidArguments) as refused:
            await api.read(platforms.CheckPlatformName(release_name="a" * 70_000))

    assert refused.value.explain("check_platform_name") == (
        "check_platform_name failed. These arguments make no URL: URL too long.\n"
        "Changed: nothing was changed.\nNext: shorten them and call again"
    )
    assert not sandbox.seen
