"""The sandbox in memory: it behaves as the service is known to, or inferred to, behave."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import anyio
import httpx2
import pytest
from aimlops_server.sandbox import forms, rules
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox, SeenRequest
from aimlops_server.sandbox.faults import Fault, FaultKind, parse
from aimlops_server.sandbox.neighbours.seed import (
    BROKEN_SUBNET_ID,
    CIFS_VOLUME_ID,
    CREATING_SECURITY_GROUP_ID,
    CREATING_SUBNET_ID,
    CREATING_VOLUME_ID,
    CREATING_VPC_ID,
    ENDED_KUBERNETES_VERSION,
    GPU_SERVER_TYPE_ID,
    KEYPAIR_NAME,
    LOAD_BALANCER_ID,
    MAIN_SUBNET_ID,
    MAIN_VPC_ID,
    NFS_VOLUME_ID,
    OTHER_LOAD_BALANCER_ID,
    OTHER_SUBNET_ID,
    SECURITY_GROUP_ID,
)
from aimlops_server.sandbox.profile import REFERENCE, STRICT_LIVE, Profile, Version
from aimlops_server.sandbox.seed import (
    CREATING_CLUSTER_ID,
    CREATING_RELEASE_ID,
    DEPLOYED_CLUSTER_ID,
    DEPLOYED_RELEASE_ID,
    DEPLOYED_RELEASE_NAME,
    ENTERPRISE_IMAGE_ID,
    FAILED_RELEASE_ID,
    FREE_CLUSTER_ID,
    FREE_GPU_CLUSTER_ID,
    INSTALLED_CLUSTER_ID,
    KOREAN_RELEASE_ID,
    KOREAN_RELEASE_NAME,
    MINI_IMAGE_ID,
    PROJECT_ID,
    PROJECT_NAME,
    SEEDED_PLATFORMS,
    SHARED_CLUSTER_ID,
    SHARED_RELEASE_IDS,
    SMALL_CLUSTER_ID,
    USER_ID,
)
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.sandbox.verify import Verdict, signed_urls, verify
from aimlops_tools import OPERATIONS

pytestmark = pytest.mark.anyio

HOST = "https://aimlops-platform.kr-west1.e.samsungsdscloud.com"
P = "/v1/aimlops-platform"
T0_S = 1_790_000_000.0
UNKNOWN_ID = "0" * 32
MINUTE_S = 60
JsonObject = dict[str, Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class HandClock:
    """A clock that moves when a test says so."""

    def __init__(self, now_s: float = T0_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def signature(message: str, secret_key: str) -> str:
    return base64.b64encode(hmac.new(secret_key.encode(), message.encode(), hashlib.sha256).digest()).decode()


def signed(method: str, url: str, now_s: float, account_id: str | None = None) -> dict[str, str]:
    """The headers of one request, straight from the vendor's recipe."""
    timestamp = str(int(now_s * 1000))
    message = method + url + timestamp + ACCESS_KEY + (account_id or "") + "Openapi"
    headers = {
        "Scp-Accesskey": ACCESS_KEY,
        "Scp-Signature": signature(message, SECRET_KEY),
        "Scp-Timestamp": timestamp,
        "Scp-ClientType": "Openapi",
    }
    return headers if account_id is None else headers | {"Scp-AccountId": account_id}


class Caller:
    """A sandbox, its clock, and a way to call it with signed requests."""

    def __init__(self, profile: Profile | None = None) -> None:
        self.clock = HandClock()
        self.slept_s: list[float] = []
        self.sandbox = Sandbox(clock_s=self.clock, profile=profile or Profile(), sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    async def send(
        self,
        method: str,
        target: str,
        *,
        version: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float | None = 5,
    ) -> httpx2.Response:
        """Send one request; `headers` replaces the signed ones."""
        sent = dict(signed(method, HOST + target, self.clock.now_s) if headers is None else headers)
        if version is not None:
            sent["Scp-Api-Version"] = f"aimlops-platform {version}"
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        timeout = httpx2.Timeout(5, read=read_timeout_s)
        async with httpx2.AsyncClient(transport=SandboxTransport(self.sandbox), timeout=timeout) as client:
            return await client.request(method, HOST + target, headers=sent, content=content)

    async def get(self, target: str, version: str | None = None) -> Any:
        """The body of a successful GET."""
        response = await self.send("GET", target, version=version)
        assert response.status_code == 200, response.text
        return response.json()

    async def state(self, release_id: str) -> str:
        return (await self.get(f"{P}/{release_id}"))["release_state"]

    async def create(self, body: object = None, **options: Any) -> httpx2.Response:
        return await self.send("POST", P, body=on_cluster() if body is None else body, **options)

    async def created_id(self, body: object = None) -> str:
        response = await self.create(body)
        assert response.status_code == 201, response.text
        return response.json()["resource_id"]


@pytest.fixture
def caller() -> Caller:
    return Caller()


def on_cluster(cluster_id: str = FREE_CLUSTER_ID, **changes: object) -> JsonObject:
    request: JsonObject = {
        "release_name": "aiml-test",
        "ai_ml_ops_platform_type": "Enterprise",
        "image_id": ENTERPRISE_IMAGE_ID,
        "cluster_id": cluster_id,
        "ai_ml_ops_platform_endpoint_type": "Private",
        "initial_user_email": "first@example.com",
        "initial_user_password": "hidden-147@53A69a",
        "tags": [],
    }
    return {"ai_ml_ops_platform_create_request": request | changes}


def on_new_cluster() -> JsonObject:
    create = on_cluster()["ai_ml_ops_platform_create_request"]
    del create["cluster_id"]
    engine = {
        "kubernetes_engine_name": "cluster-test",
        "k8s_version": "v1.33.5",
        "vpc_id": MAIN_VPC_ID,
        "subnet_id": MAIN_SUBNET_ID,
        "security_group_id_list": [SECURITY_GROUP_ID],
        "volume_id": NFS_VOLUME_ID,
        "cloud_logging_enabled": False,
    }
    pool = {
        "name": "nodepool-test",
        "image_os": "ubuntu",
        "image_os_version": "22.04",
        "server_type_id": "s1v16m64",
        "volume_type_name": "SSD",
        "volume_size": 104,
        "keypair_name": KEYPAIR_NAME,
        "desired_node_count": 2,
        "is_auto_scale": False,
        "zone": "kr-west1-a",
    }
    return {
        "ai_ml_ops_platform_create_request": create,
        "kubernetes_engine_create_request": engine,
        "node_pool_create_request": pool,
    }


def refusal(response: httpx2.Response) -> tuple[int, str, object]:
    """Status, code and detail of an error object, whose other parts are checked here."""
    (error,) = response.json()["errors"]
    assert list(response.json()) == ["errors"]
    assert error["title"] == error["code"]
    assert error["status"] == response.status_code
    assert error["request_id"].startswith("req-")
    assert error["global_request_id"].startswith("req-")
    assert (error["links"], error["related_resources"]) == ([], [])
    return response.status_code, error["code"], error["detail"]


NOT_FOUND = "PRODUCT-AI-ANALYTICS-USER-0002"
VALIDATION = "ValidationError"
FIELD_REQUIRED = (400, VALIDATION, ["Field required"])
BAD_CLUSTER_ID = (400, "BadRequest", "Cluster ID should be 32-letter UUID format")

# --- signatures -------------------------------------------------------------------------------------------------------

VECTOR_BASE = HOST + P
VECTOR_ID = "10a599e031e749b7b260868f441e862b"
VECTOR_ACCOUNT = "f1e6c81a2b054582878cb9724dc2ce9f"
# Computed with OpenSSL-equivalent HMAC from the recipe; the vendor publishes none.
VECTORS = [
    ("GET", "?size=20&page=0", None, "nFA9xGcTfFjACp3hPs+SYJTXHR01O+CuMybO7CI9SbU="),
    ("GET", "/check-duplication?release_name=aiml%20test", None, "JESqzLgzvIa4U7TJ/eEU4gNRPqRDSkyMbOTGBjOaGXY="),
    ("GET", "/check-duplication?release_name=aiml+test", None, "eLqcRuo68vfsEpyDMLoV0qcyrYTOw11t0wVwxhLAokg="),
    ("POST", "", None, "LthNkA1+HKcfKmnFAQ92XXaWwTV752QZcyVO7bsUxrY="),
    ("PUT", f"/{VECTOR_ID}", None, "tuoxbFjRL0LOdutAeCNjnYz/A8KF23nKZBtdJYdQQjY="),
    ("DELETE", f"/{VECTOR_ID}?with_k8s=true", None, "iPGQD/Q1EpxTbw4S1bg2DYneWD7aCePGiM5LNxWo0SI="),
    ("DELETE", f"/{VECTOR_ID}", None, "32rqCZUrNCRjKR5dULQkVURe3DXsIZSEzZh0NddVkaA="),
    ("GET", "?size=20&page=0", VECTOR_ACCOUNT, "rPCPNzyZfbIq08fhv2V7bDXdjjz0iQ2ASjNf5Q/rKFk="),
    ("GET", "?release_name=%ED%95%9C%EA%B8%80", None, "0c57NV/eAK6m+VFOLWLu8aNHu3F3rzGr/+mLRWXCtVk="),
    ("GET", "?sort=created_dt%3Adesc", None, "5J2Z2Tn0rKTskR+edDwCpwbmoRyLJzF1GKqvCInh9G4="),
]


@pytest.mark.parametrize(("method", "rest", "account_id", "expected"), VECTORS)
def test_vector_is_valid_and_any_other_url_or_method_is_not(
    method: str, rest: str, account_id: str | None, expected: str
) -> None:
    """The verifier follows the recipe to the byte."""
    headers = [
        ("scp-accesskey", "AKEXAMPLE"),
        ("scp-signature", expected),
        ("scp-timestamp", "1605290625682"),
        ("scp-clienttype", "Openapi"),
    ]
    if account_id is not None:
        headers.append(("scp-accountid", account_id))

    def judge(method: str, url: str) -> Verdict:
        return verify(method, [url], headers, {"AKEXAMPLE": "SKEXAMPLE"}, 1605290625.682, 900)

    assert judge(method, VECTOR_BASE + rest) is Verdict.VALID
    assert judge(method, VECTOR_BASE + rest + "x") is Verdict.INVALID
    assert judge("PATCH", VECTOR_BASE + rest) is Verdict.INVALID


def test_a_public_base_url_may_be_signed_instead() -> None:
    """Behind a proxy the caller signs another host than the sandbox sees."""
    assert signed_urls("http", "127.0.0.1:1", "/v1?x", ["https://public.example/"]) == (
        "http://127.0.0.1:1/v1?x",
        "https://public.example/v1?x",
    )


async def test_signature_of_the_public_base_url_is_accepted() -> None:
    caller = Caller(Profile(public_base_urls=("https://public.example",)))
    headers = signed("GET", f"https://public.example{P}/images", T0_S)

    response = await caller.send("GET", f"{P}/images", headers=headers)

    assert response.status_code == 200


async def test_no_credentials_is_a_spring_not_found(caller: Caller) -> None:
    response = await caller.send("GET", f"{P}/images", headers={})

    body = response.json()
    assert response.status_code == 404
    assert isinstance(body.pop("requestId"), str)
    assert body == {"timestamp": "2026-09-21T14:13:20Z", "path": f"{P}/images", "status": 404, "error": "Not Found"}


BROKEN: list[tuple[str, dict[str, str | None]]] = [
    ("another signature", {"Scp-Signature": "AAAA"}),
    ("no signature", {"Scp-Signature": None}),
    ("an unknown key", {"Scp-Accesskey": "UNKNOWN"}),
    ("another timestamp", {"Scp-Timestamp": str(int(T0_S * 1000) + 1)}),
    ("no timestamp", {"Scp-Timestamp": None}),
    ("a timestamp in words", {"Scp-Timestamp": "now"}),
    ("another client type", {"Scp-ClientType": "Console"}),
    ("an unsigned account", {"Scp-AccountId": VECTOR_ACCOUNT}),
]


@pytest.mark.parametrize(("_what", "changes"), BROKEN, ids=[what for what, _ in BROKEN])
async def test_broken_credentials_are_refused(caller: Caller, _what: str, changes: dict[str, str | None]) -> None:
    """Nothing but the signature of exactly this request opens the door."""
    headers = signed("GET", f"{HOST}{P}/images", T0_S) | changes

    response = await caller.send("GET", f"{P}/images", headers={k: v for k, v in headers.items() if v is not None})

    assert refusal(response)[:2] == (401, "HmacValidFail")


@pytest.mark.parametrize(("skew_s", "status"), [(-901, 401), (-900, 200), (900, 200), (901, 401)])
async def test_skew_is_limited_both_ways(caller: Caller, skew_s: int, status: int) -> None:
    headers = signed("GET", f"{HOST}{P}/images", T0_S + skew_s)

    assert (await caller.send("GET", f"{P}/images", headers=headers)).status_code == status


@pytest.mark.parametrize("secret_key", ["", "unknown", "UNKNOWN", SECRET_KEY])
def test_unknown_key_has_no_secret(secret_key: str) -> None:
    """No signature fits a key that is not registered, whatever stands in for its secret."""
    headers = [
        ("scp-accesskey", "UNKNOWN"),
        ("scp-signature", signature(f"GET{HOST}{P}1000UNKNOWNOpenapi", secret_key)),
        ("scp-timestamp", "1000"),
        ("scp-clienttype", "Openapi"),
    ]

    assert verify("GET", [HOST + P], headers, {ACCESS_KEY: SECRET_KEY}, 1, 900) is Verdict.INVALID
    assert verify("GET", [HOST + P], headers, {"UNKNOWN": secret_key}, 1, 900) is Verdict.VALID


async def test_undecoded_path_is_what_is_signed(caller: Caller) -> None:
    encoded = f"{P}/%31{DEPLOYED_RELEASE_ID[1:]}"

    assert (await caller.get(encoded))["release_id"] == DEPLOYED_RELEASE_ID


async def test_signed_account_id_is_accepted(caller: Caller) -> None:
    for account_id in ("", VECTOR_ACCOUNT):
        headers = signed("GET", f"{HOST}{P}/images", T0_S, account_id)
        assert (await caller.send("GET", f"{P}/images", headers=headers)).status_code == 200


async def test_signature_given_twice_is_refused(caller: Caller) -> None:
    headers = list(signed("GET", f"{HOST}{P}/images", T0_S).items())
    async with httpx2.AsyncClient(transport=SandboxTransport(caller.sandbox)) as client:
        response = await client.get(f"{HOST}{P}/images", headers=[*headers, ("Scp-Signature", "AAAA")])

    assert refusal(response)[:2] == (401, "HmacValidFail")


@pytest.mark.parametrize("query", ["release_name=aiml%20test", "release_name=aiml+test", "release_name=a%3aB"])
async def test_the_raw_target_is_what_is_signed(caller: Caller, query: str) -> None:
    """Any valid encoding passes as long as the bytes sent are the bytes signed."""
    assert await caller.get(f"{P}/check-duplication?{query}") == {"result": False}


async def test_disabled_product_is_the_gateways_401() -> None:
    response = await Caller(Profile(product_enabled=False)).send("GET", P)

    assert (response.status_code, response.json()) == (
        401,
        {
            "status": "UNAUTHORIZED",
            "name": "Request was rejected by gateway",
            "message": "Service Account catalog has not target's endpoint. target : scp-aimlops-platform_hmac",
        },
    )


# --- discovery, paths, versions ---------------------------------------------------------------------------------------


async def test_options_is_forbidden_without_cors_headers(caller: Caller) -> None:
    response = await caller.send("OPTIONS", P, headers={"Origin": "https://example.com"})

    assert response.status_code == 403
    assert [name for name in response.headers if name.startswith("access-control")] == []


LINKS = [{"href": f"{HOST}/v1", "rel": "self"}]


async def test_discovery_needs_no_signature(caller: Caller) -> None:
    response = await caller.send("GET", "/", headers={})

    assert response.json() == {
        "versions": [
            {"id": "v1.2", "status": "CURRENT", "not_before": "2027-09-18", "links": LINKS},
            {"id": "v1.1", "status": "SUPPORTED", "not_before": "2027-09-18", "links": LINKS},
        ]
    }


async def test_reference_profile_has_the_references_versions() -> None:
    response = await Caller(REFERENCE).send("GET", "/", headers={})

    assert response.json() == {
        "versions": [
            {"id": "v1.1", "status": "CURRENT", "not_before": "-", "links": LINKS},
            {"id": "v1.0", "status": "DEPRECATED", "not_before": "2026-03-19", "links": LINKS},
        ]
    }


def test_profile_without_one_current_version_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one CURRENT"):
        Profile(versions=(Version("1.1", "SUPPORTED", "-"),))


NODES = f"{P}/internal/clusters/{DEPLOYED_CLUSTER_ID}/nodes"


@pytest.mark.parametrize(
    ("profile", "target", "version", "status"),
    [
        (Profile(), P, None, 200),
        (Profile(), P, "1.2", 200),
        (Profile(), P, "1.1", 200),
        (Profile(), P, "1.0", 406),
        (Profile(), P, "9.9", 406),
        (Profile(), NODES, None, 200),
        (Profile(), NODES, "1.0", 200),
        (Profile(), NODES, "1.1", 406),
        (REFERENCE, P, "1.0", 200),
        (REFERENCE, P, "1.1", 200),
        (REFERENCE, P, "1.2", 406),
        (REFERENCE, NODES, "1.0", 200),
        (REFERENCE, NODES, "1.1", 406),
    ],
)
async def test_version_is_decided_per_operation(
    profile: Profile, target: str, version: str | None, status: int
) -> None:
    response = await Caller(profile).send("GET", target, version=version)

    assert response.status_code == status
    if status == 406:
        assert refusal(response) == (406, "NoSuchVersion", f"API version {version} is not supported on this method")


async def test_version_of_another_product_is_refused(caller: Caller) -> None:
    headers = signed("GET", HOST + P, T0_S) | {"Scp-Api-Version": "ske 1.1"}

    assert refusal(await caller.send("GET", P, headers=headers))[:2] == (406, "NoSuchVersion")


async def test_missing_version_is_served_as_the_newest_current() -> None:
    """1.2 is the first version with a zone: without a header it is read, under 1.1 it is ignored."""
    zone_required = Profile(zone_required=True)

    assert (await Caller(zone_required).create(on_new_cluster())).status_code == 201
    assert (await Caller(zone_required).create(on_new_cluster(), version="1.1")).status_code == 500


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", f"{P}/", 404),
        ("GET", f"{P}/images/more", 404),
        ("PATCH", P, 405),
        ("POST", f"{P}/images", 405),
    ],
)
async def test_unknown_path_is_the_frameworks_error(caller: Caller, method: str, target: str, status: int) -> None:
    response = await caller.send(method, target)

    assert response.status_code == status
    assert set(response.json()) == {"timestamp", "path", "status", "error", "requestId"}


async def test_literal_paths_win_over_release_ids(caller: Caller) -> None:
    assert "contents" in await caller.get(f"{P}/images")
    assert refusal(await caller.send("GET", f"{P}/check-duplication")) == FIELD_REQUIRED


def test_every_operation_has_a_rule() -> None:
    """A declared operation that the sandbox cannot answer is found here, not by a user."""
    assert set(OPERATIONS.values()) == {*rules._READS, *rules._CHANGES}  # pyright: ignore[reportPrivateUsage]  # the tables are no one else's business


def test_not_nullable_fields_are_declared_fields() -> None:
    definitions = OPERATIONS["create_platform"].model_json_schema()["$defs"]

    assert [pair for pair in forms.NOT_NULLABLE if pair[1] not in definitions[pair[0]]["properties"]] == []


# --- order and format of checks ---------------------------------------------------------------------------------------


async def test_errors_are_english_in_any_language(caller: Caller) -> None:
    headers = signed("GET", f"{HOST}{P}/{UNKNOWN_ID}", T0_S) | {"Accept-Language": "ko-KR"}

    response = await caller.send("GET", f"{P}/{UNKNOWN_ID}", headers=headers)

    assert refusal(response) == (404, NOT_FOUND, f"Kubeflow ({UNKNOWN_ID}) does not exist.")


async def test_the_whole_error_object(caller: Caller) -> None:
    (error,) = (await caller.send("POST", P, body={})).json()["errors"]

    assert error | {"request_id": "", "global_request_id": ""} == {
        "code": "ValidationError",
        "title": "ValidationError",
        "detail": ["Field required"],
        "status": 400,
        "request_id": "",
        "global_request_id": "",
        "links": [],
        "related_resources": [],
        "response": None,
    }
    assert error["request_id"] != error["global_request_id"]


async def test_checks_come_in_order() -> None:
    """Credentials, version, format, permission, existence, state, quota: each hides those after it."""
    caller = Caller(Profile(denied=frozenset({"create_platform"}), platform_quota=1))
    unknown = on_cluster(UNKNOWN_ID)
    bad = on_cluster("not-hex")

    assert (await caller.create(bad, version="9.9", headers={})).status_code == 404
    assert refusal(await caller.create(bad, version="9.9"))[0] == 406
    assert refusal(await caller.create(bad)) == BAD_CLUSTER_ID
    assert refusal(await caller.create(unknown))[:2] == (403, "Forbidden")
    allowed = Caller(Profile(platform_quota=1))
    assert refusal(await allowed.create(unknown)) == (404, NOT_FOUND, f"Cluster ({UNKNOWN_ID}) does not exist.")
    assert refusal(await allowed.create(on_cluster(CREATING_CLUSTER_ID)))[:2] == (409, "Conflict")
    assert refusal(await allowed.create())[:2] == (403, "aimlops-platform.quota.value.exceeded")


async def test_denial_names_its_action() -> None:
    caller = Caller(Profile(denied=frozenset({"delete_platform"})))

    response = await caller.send("DELETE", f"{P}/{DEPLOYED_RELEASE_ID}")

    message = "You do not have permission to perform aimlops-platform:DeletePlatform."
    assert refusal(response) == (403, "Forbidden", message)
    assert response.json()["errors"][0]["response"] == {
        "access_level": "delete",
        "action_name": "aimlops-platform:DeletePlatform",
        "caused_auths": [],
        "message": message,
    }


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"{P}/clusters/not-hex/validate-namespaces", BAD_CLUSTER_ID),
        (f"{P}/clusters/10a599e0-31e7-49b7-b260-868f441e862b/validate-namespaces", BAD_CLUSTER_ID),
        (f"{P}/clusters/{UNKNOWN_ID}/validate-namespaces", (404, NOT_FOUND, f"Cluster ({UNKNOWN_ID}) does not exist.")),
        (f"{P}/internal/clusters/x/nodes", BAD_CLUSTER_ID),
        (f"{P}/internal/clusters/{FREE_CLUSTER_ID}/nodes", (404, "NotFound", "Not Found")),
        (f"{P}/internal/clusters/{FREE_CLUSTER_ID}/storageclasses", (404, "NotFound", "Not Found")),
        (f"{P}/no-such-id", (400, "BadRequest", "Release ID should be 32-letter UUID format")),
        (f"{P}/{UNKNOWN_ID}", (404, NOT_FOUND, f"Kubeflow ({UNKNOWN_ID}) does not exist.")),
        (f"{P}/check-duplication", FIELD_REQUIRED),
        (f"{P}/check-duplication?release_name=", FIELD_REQUIRED),
        (f"{P}/check-duplication?name=aiml-test", FIELD_REQUIRED),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/check-version", FIELD_REQUIRED),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/validate-resources", FIELD_REQUIRED),
        (
            f"{P}/clusters/{FREE_CLUSTER_ID}/validate-resources?product_type=Enterprise",
            (400, VALIDATION, ["product_type [enterprise|mini]"]),
        ),
        (
            f"{P}?size=many",
            (400, VALIDATION, ["Input should be a valid integer, unable to parse string as an integer"]),
        ),
        (f"{P}?size=0&page=-1", (400, VALIDATION, [f"Input should be greater than or equal to {n}" for n in (1, 0)])),
        (f"{P}?sort=created_dt", (400, VALIDATION, ["sort [field:asc|field:desc]"])),
        (f"{P}?sort=created_dt:up", (400, VALIDATION, ["sort [field:asc|field:desc]"])),
    ],
)
async def test_malformed_or_unknown_is_refused(caller: Caller, target: str, expected: tuple[int, str, object]) -> None:
    assert refusal(await caller.send("GET", target)) == expected


async def test_upper_case_product_type_passes_when_switched_on() -> None:
    caller = Caller(Profile(any_case_product_type=True))
    target = f"{P}/clusters/{FREE_CLUSTER_ID}/validate-resources?product_type=Enterprise"

    assert await caller.get(target) == {"result": True}


# --- reads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "result"),
    [
        (f"{P}/check-duplication?release_name={DEPLOYED_RELEASE_NAME}", True),
        (f"{P}/check-duplication?release_name=aiml-test", False),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/check-version?version=v1.33.5", True),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/check-version?version=1.34.3", True),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/check-version?version=1.28.1", False),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/check-version?version=1.9.2", False),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/validate-namespaces", False),
        (f"{P}/clusters/{INSTALLED_CLUSTER_ID}/validate-namespaces", True),
        (f"{P}/clusters/{SHARED_CLUSTER_ID}/validate-namespaces", True),
        (f"{P}/clusters/{FREE_CLUSTER_ID}/validate-resources?product_type=enterprise", True),
        (f"{P}/clusters/{SMALL_CLUSTER_ID}/validate-resources?product_type=enterprise", False),
        (f"{P}/clusters/{SMALL_CLUSTER_ID}/validate-resources?product_type=mini", False),
    ],
)
async def test_checks_answer_a_boolean(caller: Caller, target: str, result: bool) -> None:
    assert await caller.get(target) == {"result": result}


async def test_namespace_check_can_be_turned_round() -> None:
    caller = Caller(Profile(installed_is_true=False))

    assert await caller.get(f"{P}/clusters/{FREE_CLUSTER_ID}/validate-namespaces") == {"result": True}


async def test_images_are_the_two_live_ones(caller: Caller) -> None:
    listed = await caller.get(f"{P}/images")

    enterprise, mini = listed["contents"]
    assert listed["total_count"] == 2
    assert (enterprise["image_id"], mini["image_id"]) == (ENTERPRISE_IMAGE_ID, MINI_IMAGE_ID)
    assert len(enterprise.pop("description")) > 50_000
    icon = binascii.a2b_base64(enterprise.pop("icon_file"), strict_mode=True)
    assert icon.startswith(b"\x89PNG\r\n\x1a\n")
    assert enterprise == {
        "base_image": "sdskubeflow-enterprise:1.9.2",
        "category": "APP",
        "created_by": "SYSTEM",
        "created_dt": "2026-04-24T14:13:20Z",
        "icon_file_name": "enterprise.png",
        "image_attr": "",
        "image_id": ENTERPRISE_IMAGE_ID,
        "image_name": "AIMLOps Platform 1.9.2",
        "modified_by": "SYSTEM",
        "modified_dt": "2026-04-24T14:13:20Z",
        "os_type": None,
        "product_type": "Enterprise",
        "project_id": None,
    }
    assert (mini["base_image"], mini["product_type"]) == ("sdskubeflow-mini:1.9.1", None)


async def test_images_are_filtered_by_name(caller: Caller) -> None:
    listed = await caller.get(f"{P}/images?image_name=AIMLOps%20Platform%201.9.1")

    assert [image["image_id"] for image in listed["contents"]] == [MINI_IMAGE_ID]
    assert listed["total_count"] == 1


async def test_pages_together_hold_every_platform_once(caller: Caller) -> None:
    pages = [await caller.get(f"{P}?page={page}") for page in range(4)]

    assert [len(page["contents"]) for page in pages] == [20, 20, 5, 0]
    assert {page["total_count"] for page in pages} == {SEEDED_PLATFORMS}
    ids = [item["release_id"] for page in pages for item in page["contents"]]
    assert len(set(ids)) == SEEDED_PLATFORMS
    created = [item["created_dt"] for page in pages for item in page["contents"]]
    assert created == sorted(created, reverse=True)


async def test_platform_in_the_list_has_the_references_fields(caller: Caller) -> None:
    (item,) = (await caller.get(f"{P}?release_name={DEPLOYED_RELEASE_NAME}"))["contents"]

    assert item == {
        "cluster_id": DEPLOYED_CLUSTER_ID,
        "cluster_name": "cluster-fraud",
        "created_by": USER_ID,
        "created_dt": "2026-09-20T14:13:20Z",
        "kubeflow_type": "Enterprise",
        "release_id": DEPLOYED_RELEASE_ID,
        "release_name": DEPLOYED_RELEASE_NAME,
        "status": "DEPLOYED",
        "version": "v1.9.2",
    }


async def test_filters_match_exactly(caller: Caller) -> None:
    async def found(query: str) -> list[str]:
        return sorted(item["release_id"] for item in (await caller.get(f"{P}?{query}"))["contents"])

    korean = "%EC%B6%94%EC%B2%9C%EB%AA%A8%EB%8D%B8-%ED%95%99%EC%8A%B5"
    assert await found(f"release_name={korean}") == [KOREAN_RELEASE_ID]
    assert await found("release_name=fraud") == []
    assert await found("cluster_name=shared-cluster") == sorted(SHARED_RELEASE_IDS)
    assert await found("cluster_name=shared-cluster&kubeflow_type=Mini") == [SHARED_RELEASE_IDS[1]]
    assert await found("status=FAILED") == [FAILED_RELEASE_ID]
    assert await found("status=CREATING") == [CREATING_RELEASE_ID]
    assert await caller.get(f"{P}?version=v0") == {"contents": [], "total_count": 0}
    assert len(await found("version=v1.7.1&size=100")) == len(
        await found("created_by=6df276c6fcf2d81d7ac4824797ec4e81")
    )


async def test_release_name_filter_can_match_a_part() -> None:
    listed = await Caller(Profile(release_name_filter="substring")).get(f"{P}?release_name=fraud")

    assert [item["release_id"] for item in listed["contents"]] == [DEPLOYED_RELEASE_ID]


async def test_sort_orders_by_the_named_field(caller: Caller) -> None:
    names = [item["release_name"] for item in (await caller.get(f"{P}?sort=release_name:asc&size=100"))["contents"]]

    assert names == sorted(names)
    assert KOREAN_RELEASE_NAME in names
    assert refusal(await caller.send("GET", f"{P}?sort=colour:asc"))[:2] == (400, VALIDATION)


async def test_details_of_a_deployed_platform(caller: Caller) -> None:
    assert await caller.get(f"{P}/{DEPLOYED_RELEASE_ID}") == {
        "ai_ml_ops_platform_domain_service": "",
        "ai_ml_ops_platform_endpoint_ip_address": "192.168.3.20",
        "ai_ml_ops_platform_endpoint_port": "443",
        "ai_ml_ops_platform_endpoint_type": "Private",
        "ai_ml_ops_platform_type": "Enterprise",
        "cluster_id": DEPLOYED_CLUSTER_ID,
        "cluster_name": "cluster-fraud",
        "cluster_state": "RUNNING",
        "created_by": USER_ID,
        "created_dt": "2026-09-20T14:13:20Z",
        "dashboard_state": "RUNNING",
        "image_id": ENTERPRISE_IMAGE_ID,
        "image_name": "AIMLOps Platform 1.9.2",
        "initial_user_email": "mlops@example.com",
        "project_id": PROJECT_ID,
        "project_name": PROJECT_NAME,
        "release_id": DEPLOYED_RELEASE_ID,
        "release_name": DEPLOYED_RELEASE_NAME,
        "release_state": "DEPLOYED",
        "storage_class_name": "nfs-subdir-external-sc",
        "version": "v1.9.2",
    }


async def test_failed_platform_without_cluster_has_nulls_and_no_endpoint(caller: Caller) -> None:
    details = await caller.get(f"{P}/{FAILED_RELEASE_ID}")

    assert details["release_state"] == "FAILED"
    assert (details["cluster_name"], details["cluster_state"], details["storage_class_name"]) == (None, None, None)
    assert "ai_ml_ops_platform_endpoint_ip_address" not in details


async def test_seeded_release_in_progress_gets_deployed(caller: Caller) -> None:
    before = await caller.state(CREATING_RELEASE_ID)
    caller.clock.now_s += 7 * MINUTE_S

    assert (before, await caller.state(CREATING_RELEASE_ID)) == ("CREATING", "DEPLOYED")


async def test_every_seeded_id_can_be_read(caller: Caller) -> None:
    for release_id in (DEPLOYED_RELEASE_ID, KOREAN_RELEASE_ID, *SHARED_RELEASE_IDS):
        assert await caller.state(release_id) == "DEPLOYED"
    for cluster_id in (FREE_GPU_CLUSTER_ID, CREATING_CLUSTER_ID, SMALL_CLUSTER_ID):
        assert await caller.get(f"{P}/clusters/{cluster_id}/validate-namespaces") == {"result": False}


async def test_nodes_of_a_deployed_cluster(caller: Caller) -> None:
    listed = await caller.get(f"{NODES}?size=2&sort=name:asc", version="1.0")

    first, second = listed["nodes"]
    assert (listed["count"], listed["links"]) == (3, [])
    assert (first["number_of_gpu"], second["number_of_gpu"]) == (4, 0)
    assert len(first.pop("uid")) == 32
    assert first == {
        "age": "90d",
        "cluster_id": DEPLOYED_CLUSTER_ID,
        "container_version": "containerd://1.7.27",
        "created_at": "2026-06-23T14:13:20Z",
        "external_ip_address": None,
        "gpu_name": "NVIDIA-H100-80GB-HBM3",
        "ip": "192.168.10.2",
        "kernel_version": "5.15.0-139-generic",
        "kubernetes_version": "v1.33.5",
        "mngc_node": False,
        "mngc_node_type": None,
        "name": "cluster-fraud-gpu-1",
        "node_capacities": [
            {"name": "cpu", "value": "16"},
            {"name": "memory", "value": "240Gi"},
            {"name": "nvidia.com/gpu", "value": "4"},
        ],
        "node_status": "Ready",
        "number_of_allocated_pods": "42",
        "number_of_gpu": 4,
        "os_image": "Ubuntu 22.04.5 LTS",
    }


async def test_storage_classes_of_a_deployed_cluster(caller: Caller) -> None:
    listed = await caller.get(f"{P}/internal/clusters/{DEPLOYED_CLUSTER_ID}/storageclasses")

    first, second = listed["storage_classes"]
    assert (listed["count"], listed["links"]) == (2, [])
    assert len(first.pop("uid")) == 32
    assert second["default_class"] == "false"
    assert first == {
        "age": "90d",
        "allow_volume_expansion": "true",
        "cluster_id": DEPLOYED_CLUSTER_ID,
        "created_at": "2026-06-23T14:13:20Z",
        "default_class": "true",
        "name": "nfs-subdir-external-sc",
        "provisioner": "nfs.csi.k8s.io",
        "pv_reclaim_policy": "Delete",
        "volume_binding_mode": "Immediate",
    }


async def test_nodes_stay_listed_during_an_update(caller: Caller) -> None:
    await caller.send("PUT", f"{P}/{DEPLOYED_RELEASE_ID}", body={"ai_ml_ops_platform_endpoint_type": "Public"})

    assert (await caller.get(NODES))["count"] == 3


# --- create -----------------------------------------------------------------------------------------------------------


async def test_create_on_a_cluster_takes_ten_minutes(caller: Caller) -> None:
    response = await caller.create()

    accepted = response.json()
    release_id = accepted["resource_id"]
    assert response.status_code == 201
    assert accepted == {"project_id": PROJECT_ID, "request_id": accepted["request_id"], "resource_id": release_id}
    details = await caller.get(f"{P}/{release_id}")
    assert (details["release_state"], details["dashboard_state"], details["cluster_state"]) == (
        "CREATING",
        "NOT_READY",
        "RUNNING",
    )
    assert "ai_ml_ops_platform_endpoint_ip_address" not in details
    caller.clock.now_s += 10 * MINUTE_S - 1
    assert await caller.state(release_id) == "CREATING"
    caller.clock.now_s += 1
    assert await caller.get(f"{P}/{release_id}") == details | {
        "release_state": "DEPLOYED",
        "dashboard_state": "RUNNING",
        "ai_ml_ops_platform_endpoint_ip_address": "192.168.3.197",
        "ai_ml_ops_platform_endpoint_port": "443",
    }
    assert len((await caller.get(f"{P}/internal/clusters/{FREE_CLUSTER_ID}/nodes"))["nodes"]) == 3


async def test_create_with_a_new_cluster_builds_the_cluster_first(caller: Caller) -> None:
    release_id = await caller.created_id(on_new_cluster())

    seen: list[tuple[str, str]] = []
    for _ in range(5):
        details = await caller.get(f"{P}/{release_id}")
        seen.append((details["cluster_state"], details["release_state"]))
        caller.clock.now_s += 10 * MINUTE_S
    assert seen == [
        ("CREATING", "CREATING"),
        ("CREATING", "CREATING"),
        ("CREATING", "CREATING"),
        ("RUNNING", "CREATING"),
        ("RUNNING", "DEPLOYED"),
    ]


async def test_password_is_kept_nowhere(caller: Caller) -> None:
    """Neither an answer nor a repr of the sandbox's state or memory shows it."""
    release_id = await caller.created_id()

    shown = [
        (await caller.send("GET", f"{P}/{release_id}")).text,
        (await caller.send("GET", P)).text,
        repr(caller.sandbox.world.platform(release_id)),
        repr(caller.sandbox.seen),
    ]
    assert [text for text in shown if "147@53A69a" in text] == []


async def test_empty_texts_nulls_and_unknown_fields_are_tolerated(caller: Caller) -> None:
    body = on_cluster(
        node_type="",
        storage_class_name=None,
        ai_ml_ops_platform_endpoint_type="",
        initial_user_email=None,
        colour="red",
    ) | {"kubernetes_engine_create_request": None, "node_pool_create_request": None, "more": 1}

    details = await caller.get(f"{P}/{await caller.created_id(body)}")

    assert (details["storage_class_name"], details["initial_user_email"]) == (None, "")


def without(body: JsonObject, part: str, field: str) -> JsonObject:
    return body | {part: {name: value for name, value in body[part].items() if name != field}}


def with_field(part: str, field: str, value: object) -> JsonObject:
    body = on_new_cluster()
    return body | {part: body[part] | {field: value}}


CREATE, ENGINE, POOL = (
    "ai_ml_ops_platform_create_request",
    "kubernetes_engine_create_request",
    "node_pool_create_request",
)
BAD_NAME = (400, VALIDATION, [r"String should match pattern '^[a-z][a-z0-9\-]*[a-z0-9]$'"])
REFUSED_BODIES: list[tuple[str, object, tuple[int, str, object]]] = [
    ("no JSON", b"{", (400, VALIDATION, ["JSON decode error"])),
    ("no bytes", b"", (400, VALIDATION, ["JSON decode error"])),
    ("bottomless", b"[" * 100_000, (400, VALIDATION, ["JSON decode error"])),
    ("a list", [], (400, VALIDATION, ["Input should be a valid dictionary or object to extract fields from"])),
    ("empty", {}, FIELD_REQUIRED),
    ("no name", without(on_cluster(), CREATE, "release_name"), FIELD_REQUIRED),
    ("no engine field", without(on_new_cluster(), ENGINE, "vpc_id"), FIELD_REQUIRED),
    ("no pool field", without(on_new_cluster(), POOL, "keypair_name"), FIELD_REQUIRED),
    ("neither form", without(on_cluster(), CREATE, "cluster_id"), FIELD_REQUIRED),
    ("half a form", {k: v for k, v in on_new_cluster().items() if k != POOL}, FIELD_REQUIRED),
    ("no count", without(on_new_cluster(), POOL, "desired_node_count"), FIELD_REQUIRED),
    (
        "both forms",
        with_field(CREATE, "cluster_id", FREE_CLUSTER_ID),
        (400, VALIDATION, ["cluster_id and a new cluster exclude each other"]),
    ),
    ("a name in capitals", with_field(ENGINE, "kubernetes_engine_name", "Cluster"), BAD_NAME),
    (
        "a short name",
        with_field(ENGINE, "kubernetes_engine_name", "c"),
        (400, VALIDATION, ["String should have at least 3 characters"]),
    ),
    (
        "a long name",
        with_field(ENGINE, "kubernetes_engine_name", "c" * 31),
        (400, VALIDATION, ["String should have at most 30 characters"]),
    ),
    (
        "an empty required text",
        with_field(CREATE, "image_id", ""),
        (400, VALIDATION, ["String should have at least 1 character"]),
    ),
    (
        "a number as text",
        with_field(POOL, "volume_size", "104"),
        (400, VALIDATION, ["Input should be a valid integer"]),
    ),
    ("true as a number", with_field(POOL, "volume_size", True), (400, VALIDATION, ["Input should be a valid integer"])),
    (
        "text as a boolean",
        with_field(POOL, "is_auto_scale", "no"),
        (400, VALIDATION, ["Input should be a valid boolean"]),
    ),
    (
        "a null boolean",
        with_field(POOL, "is_auto_recovery", None),
        (400, VALIDATION, ["Input should be a valid boolean"]),
    ),
    ("a null list", with_field(CREATE, "tags", None), (400, VALIDATION, ["Input should be a valid list"])),
    ("a tag in text", with_field(CREATE, "tags", ["a"]), (400, VALIDATION, ["Input should be a valid dictionary"])),
    (
        "a number as OS",
        with_field(POOL, "image_os_version", 22.04),
        (400, VALIDATION, ["Input should be a valid string"]),
    ),
    ("a null name", with_field(CREATE, "release_name", None), (400, VALIDATION, ["Input should be a valid string"])),
    (
        "an unknown type",
        with_field(CREATE, "ai_ml_ops_platform_type", "enterprise"),
        (400, VALIDATION, ["Input should be 'Enterprise' or 'Mini'"]),
    ),
    ("a bad cluster id", on_cluster("10a599e0-31e7-49b7-b260-868f441e862b"), BAD_CLUSTER_ID),
    ("an unknown cluster", on_cluster(UNKNOWN_ID), (404, NOT_FOUND, f"Cluster ({UNKNOWN_ID}) does not exist.")),
    ("an unknown image", on_cluster(image_id="IMAGE-x"), (404, "NotFound", "Image (IMAGE-x) does not exist.")),
    (
        "another image's type",
        on_cluster(image_id=MINI_IMAGE_ID),
        (400, VALIDATION, ["image_id does not match ai_ml_ops_platform_type"]),
    ),
    (
        "a taken name",
        on_cluster(release_name=DEPLOYED_RELEASE_NAME),
        (409, "Conflict", f"Release name ({DEPLOYED_RELEASE_NAME}) already exists."),
    ),
    (
        "an unready cluster",
        on_cluster(CREATING_CLUSTER_ID),
        (409, "Conflict", f"Cluster ({CREATING_CLUSTER_ID}) is not RUNNING."),
    ),
    (
        "a used cluster",
        on_cluster(DEPLOYED_CLUSTER_ID),
        (409, "Conflict", f"AI&MLOps Platform is already installed on cluster ({DEPLOYED_CLUSTER_ID})."),
    ),
    (
        "a cluster with namespaces",
        on_cluster(INSTALLED_CLUSTER_ID),
        (409, "Conflict", f"AI&MLOps Platform is already installed on cluster ({INSTALLED_CLUSTER_ID})."),
    ),
]


@pytest.mark.parametrize(("_what", "body", "expected"), REFUSED_BODIES, ids=[what for what, _, _ in REFUSED_BODIES])
async def test_bad_create_is_refused_and_changes_nothing(
    caller: Caller, _what: str, body: object, expected: tuple[int, str, object]
) -> None:
    before = caller.sandbox.world.platforms(), caller.sandbox.world.clusters()

    response = await caller.send("POST", P, body=body)

    assert refusal(response) == expected
    assert (caller.sandbox.world.platforms(), caller.sandbox.world.clusters()) == before


def unknown(kind: str) -> tuple[int, str, object]:
    return 404, "NotFound", f"{kind} ({UNKNOWN_ID}) does not exist."


def unfit(detail: str) -> tuple[int, str, object]:
    return 400, VALIDATION, [detail]


def unready(detail: str) -> tuple[int, str, object]:
    return 409, "Conflict", detail


VERSIONS = "k8s_version [v1.32.8|v1.33.5|v1.34.3]"
UNFIT_CLUSTERS: list[tuple[str, str, object, tuple[int, str, object]]] = [
    (ENGINE, "vpc_id", UNKNOWN_ID, unknown("VPC")),
    (ENGINE, "subnet_id", UNKNOWN_ID, unknown("Subnet")),
    (ENGINE, "security_group_id_list", [SECURITY_GROUP_ID, UNKNOWN_ID], unknown("Security group")),
    (ENGINE, "volume_id", UNKNOWN_ID, unknown("Volume")),
    (ENGINE, "cifs_volume_id", UNKNOWN_ID, unknown("Volume")),
    (ENGINE, "lb_id", UNKNOWN_ID, unknown("Load balancer")),
    (POOL, "server_type_id", UNKNOWN_ID, unknown("Server type")),
    (POOL, "keypair_name", UNKNOWN_ID, unknown("Keypair")),
    (
        ENGINE,
        "subnet_id",
        OTHER_SUBNET_ID,
        unfit(f"Subnet ({OTHER_SUBNET_ID}) does not belong to VPC ({MAIN_VPC_ID})."),
    ),
    (
        ENGINE,
        "lb_id",
        OTHER_LOAD_BALANCER_ID,
        unfit(f"Load balancer ({OTHER_LOAD_BALANCER_ID}) does not belong to VPC ({MAIN_VPC_ID})."),
    ),
    (ENGINE, "security_group_id_list", [], unfit("security_group_id_list should have at least 1 item")),
    (ENGINE, "volume_id", CIFS_VOLUME_ID, unfit("volume_id: the volume's protocol should be NFS")),
    (ENGINE, "cifs_volume_id", NFS_VOLUME_ID, unfit("cifs_volume_id: the volume's protocol should be CIFS")),
    (ENGINE, "k8s_version", "v1.28.1", unfit(VERSIONS)),
    (ENGINE, "k8s_version", ENDED_KUBERNETES_VERSION, unfit(VERSIONS)),
    (POOL, "kubernetes_version", "v1.34.3", unfit("kubernetes_version should be the cluster's k8s_version")),
    (POOL, "image_os", "debian", unfit("image_os debian 22.04 is not supported")),
    (POOL, "image_os_version", "24.04", unfit("image_os ubuntu 24.04 is not supported")),
    (
        POOL,
        "volume_type_name",
        "SSD_Provisioned",
        unfit("volume_type_name [HDD|HDD_KMS|SSD|SSD_KMS]"),
    ),
    (POOL, "volume_size", 103, unfit("volume_size should be greater than or equal to 104")),
    (ENGINE, "subnet_id", BROKEN_SUBNET_ID, unready(f"Subnet ({BROKEN_SUBNET_ID}) is not ACTIVE.")),
    (
        ENGINE,
        "security_group_id_list",
        [CREATING_SECURITY_GROUP_ID],
        unready(f"Security group ({CREATING_SECURITY_GROUP_ID}) is not ACTIVE."),
    ),
    (ENGINE, "volume_id", CREATING_VOLUME_ID, unready(f"Volume ({CREATING_VOLUME_ID}) is not available.")),
    (ENGINE, "kubernetes_engine_name", "free-cluster", unready("Cluster name (free-cluster) already exists.")),
]


@pytest.mark.parametrize(
    ("part", "field", "value", "expected"), UNFIT_CLUSTERS, ids=[f"{f}={v}" for _, f, v, _ in UNFIT_CLUSTERS]
)
async def test_new_cluster_that_cannot_be_built_is_refused_and_changes_nothing(
    caller: Caller, part: str, field: str, value: object, expected: tuple[int, str, object]
) -> None:
    before = caller.sandbox.world.platforms(), caller.sandbox.world.clusters()

    response = await caller.create(with_field(part, field, value))

    assert refusal(response) == expected
    assert (caller.sandbox.world.platforms(), caller.sandbox.world.clusters()) == before


async def test_new_cluster_in_a_vpc_that_is_being_made_is_refused(caller: Caller) -> None:
    body = with_field(ENGINE, "vpc_id", CREATING_VPC_ID)
    body[ENGINE] |= {"subnet_id": CREATING_SUBNET_ID}

    assert refusal(await caller.create(body)) == unready(f"VPC ({CREATING_VPC_ID}) is not ACTIVE.")


async def test_new_gpu_cluster_needs_an_image_for_gpus(caller: Caller) -> None:
    body = with_field(POOL, "server_type_id", GPU_SERVER_TYPE_ID)
    body[POOL] |= {"image_os": "rhel", "image_os_version": "9.4"}
    refused = await caller.create(body)
    body[POOL] |= {"image_os": "ubuntu", "image_os_version": "22.04"}
    body[ENGINE] |= {"lb_id": LOAD_BALANCER_ID, "cifs_volume_id": CIFS_VOLUME_ID}
    release_id = await caller.created_id(body)

    assert refusal(refused) == unfit("image_os rhel 9.4 is not supported")
    caller.clock.now_s += 40 * MINUTE_S
    cluster_id = (await caller.get(f"{P}/{release_id}"))["cluster_id"]
    nodes = (await caller.get(f"{P}/internal/clusters/{cluster_id}/nodes"))["nodes"]
    assert [(node["name"], node["number_of_gpu"]) for node in nodes] == [
        ("cluster-test-nodepool-test-1", 4),
        ("cluster-test-nodepool-test-2", 4),
    ]


async def test_clusters_over_the_quota_are_refused() -> None:
    caller = Caller(Profile(cluster_quota=1))

    assert refusal(await caller.create(on_new_cluster()))[:2] == (403, "ske.quota.value.exceeded")
    assert (await caller.create()).status_code == 201


async def test_auto_scale_needs_both_counts_in_order(caller: Caller) -> None:
    body = with_field(POOL, "is_auto_scale", True)
    assert refusal(await caller.create(body)) == (400, VALIDATION, ["Field required", "Field required"])

    body[POOL] |= {"min_node_count": 3, "max_node_count": 2}
    reason = "min_node_count should be less than or equal to max_node_count"
    assert refusal(await caller.create(body)) == (400, VALIDATION, [reason])

    body[POOL] |= {"max_node_count": 3}
    assert (await caller.create(body)).status_code == 201


async def test_strict_live_profile_answers_400_where_others_answer_409() -> None:
    caller = Caller(STRICT_LIVE)

    assert refusal(await caller.create(on_cluster(release_name=DEPLOYED_RELEASE_NAME)))[:2] == (400, "BadRequest")
    assert refusal(await caller.create(on_cluster(DEPLOYED_CLUSTER_ID)))[:2] == (400, "BadRequest")


async def test_zone_is_refused_before_its_version_when_switched_on() -> None:
    caller = Caller(Profile(refuse_newer_fields=True))

    response = await caller.create(on_new_cluster(), version="1.1")

    assert refusal(response) == (400, VALIDATION, ["Extra inputs are not permitted"])
    assert (await caller.create(on_new_cluster(), version="1.2")).status_code == 201


async def test_pool_without_zone_fails_where_zones_are_required() -> None:
    caller = Caller(Profile(zone_required=True))

    response = await caller.create(without(on_new_cluster(), POOL, "zone"), version="1.2")

    assert refusal(response)[:2] == (500, "ContactAdminForAssistance")
    assert len(caller.sandbox.world.platforms()) == SEEDED_PLATFORMS


async def test_create_on_too_small_a_cluster_fails_at_its_end(caller: Caller) -> None:
    release_id = await caller.created_id(on_cluster(SMALL_CLUSTER_ID))
    before = await caller.state(release_id)
    caller.clock.now_s += 10 * MINUTE_S

    assert (before, await caller.state(release_id)) == ("CREATING", "FAILED")


async def test_runs_repeat(caller: Caller) -> None:
    """The same calls make the same ids, so a transcript can be compared."""
    assert (await caller.create()).content == (await Caller().create()).content


async def test_world_can_run_faster_than_signatures() -> None:
    caller = Caller()
    world_clock = HandClock()
    caller.sandbox = Sandbox(clock_s=caller.clock, world_clock_s=world_clock)
    release_id = await caller.created_id()
    world_clock.now_s += 3600

    assert await caller.state(release_id) == "DEPLOYED"


# --- update -----------------------------------------------------------------------------------------------------------

TARGET = f"{P}/{DEPLOYED_RELEASE_ID}"
RECORD = {
    "operation_type": "CREATE",
    "dns_id": "acdd205d-b1d3-44e7-ab7a-429ca090e941",
    "record_name": "sample",
    "domain_service_name": "sample.example.com",
    "ip": "192.168.3.20",
}


async def test_update_takes_two_minutes_and_shows_when_done(caller: Caller) -> None:
    response = await caller.send("PUT", TARGET, body={"ai_ml_ops_platform_endpoint_type": "Public"})

    accepted = response.json()
    assert response.status_code == 200
    assert accepted == {
        "project_id": PROJECT_ID,
        "request_id": accepted["request_id"],
        "resource_id": DEPLOYED_RELEASE_ID,
    }
    during = await caller.get(TARGET)
    assert (during["release_state"], during["ai_ml_ops_platform_endpoint_type"]) == ("UPDATING", "Private")
    assert (during["modified_by"], during["modified_dt"]) == (USER_ID, "2026-09-21T14:13:20Z")
    caller.clock.now_s += 2 * MINUTE_S
    after = await caller.get(TARGET)
    assert (after["release_state"], after["ai_ml_ops_platform_endpoint_type"]) == ("DEPLOYED", "Public")


@pytest.mark.parametrize(
    "body", [{}, {"ai_ml_ops_platform_endpoint_type": ""}, {"ai_ml_ops_platform_domain_service": {}}]
)
async def test_empty_update_is_accepted_and_changes_nothing(caller: Caller, body: JsonObject) -> None:
    before = await caller.get(TARGET)

    response = await caller.send("PUT", TARGET, body=body)

    assert response.status_code == 200
    assert await caller.get(TARGET) == before


async def test_domain_service_lives_in_the_details(caller: Caller) -> None:
    async def put(service: JsonObject) -> Any:
        response = await caller.send("PUT", TARGET, body={"ai_ml_ops_platform_domain_service": service})
        assert response.status_code == 200, response.text
        caller.clock.now_s += 2 * MINUTE_S
        return (await caller.get(TARGET))["ai_ml_ops_platform_domain_service"]

    created = await put(RECORD)
    record_id = created["record_id"]
    updated = await put(RECORD | {"operation_type": "UPDATE", "record_id": record_id, "ip": "192.168.3.21"})
    deleted = await put({"operation_type": "DELETE", "dns_id": RECORD["dns_id"], "record_id": record_id})

    expected = {name: value for name, value in RECORD.items() if name != "operation_type"} | {"record_id": record_id}
    assert (created, updated, deleted) == (expected, expected | {"ip": "192.168.3.21"}, "")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"ai_ml_ops_platform_endpoint_type": "Public | Private"},
            (400, VALIDATION, ["Input should be 'Public' or 'Private'"]),
        ),
        (
            {"ai_ml_ops_platform_domain_service": RECORD | {"operation_type": "PATCH"}},
            (400, VALIDATION, ["Input should be 'CREATE', 'UPDATE' or 'DELETE'"]),
        ),
        ({"ai_ml_ops_platform_domain_service": {"ip": "192.168.3.20"}}, FIELD_REQUIRED),
        (
            {"ai_ml_ops_platform_domain_service": {"operation_type": "DELETE"}},
            (400, VALIDATION, ["Field required", "Field required"]),
        ),
        (
            {"ai_ml_ops_platform_domain_service": RECORD | {"operation_type": "UPDATE", "record_id": "x"}},
            (404, "NotFound", "Record (x) does not exist."),
        ),
    ],
)
async def test_bad_update_is_refused(caller: Caller, body: JsonObject, expected: tuple[int, str, object]) -> None:
    assert refusal(await caller.send("PUT", TARGET, body=body)) == expected
    assert await caller.state(DEPLOYED_RELEASE_ID) == "DEPLOYED"


@pytest.mark.parametrize(("profile", "status"), [(Profile(), 409), (STRICT_LIVE, 400)])
async def test_changes_during_a_creation_are_refused(profile: Profile, status: int) -> None:
    caller = Caller(profile)
    target = f"{P}/{CREATING_RELEASE_ID}"

    assert refusal(await caller.send("PUT", target, body={}))[0] == status
    assert refusal(await caller.send("DELETE", target))[0] == status


# --- delete -----------------------------------------------------------------------------------------------------------


async def test_second_delete_is_not_found(caller: Caller) -> None:
    """200 with nothing in it, DELETING for five minutes, then gone."""
    first = await caller.send("DELETE", TARGET)
    during = await caller.state(DEPLOYED_RELEASE_ID)
    meanwhile = await caller.send("DELETE", TARGET)
    caller.clock.now_s += 5 * MINUTE_S
    second = await caller.send("DELETE", TARGET)

    assert (first.status_code, first.content, "content-type" in first.headers) == (200, b"", False)
    assert during == "DELETING"
    assert refusal(meanwhile) == (409, "Conflict", f"Kubeflow ({DEPLOYED_RELEASE_ID}) is DELETING.")
    gone = (404, NOT_FOUND, f"Kubeflow ({DEPLOYED_RELEASE_ID}) does not exist.")
    assert refusal(second) == gone
    assert refusal(await caller.send("GET", TARGET)) == gone
    assert (await caller.get(P))["total_count"] == SEEDED_PLATFORMS - 1


async def test_delete_keeps_the_last_endpoint_in_sight(caller: Caller) -> None:
    await caller.send("PUT", TARGET, body={"ai_ml_ops_platform_endpoint_type": "Public"})
    caller.clock.now_s += 2 * MINUTE_S
    await caller.send("DELETE", TARGET)

    details = await caller.get(TARGET)
    assert (details["release_state"], details["ai_ml_ops_platform_endpoint_type"]) == ("DELETING", "Public")


async def test_delete_frees_the_cluster_and_the_name(caller: Caller) -> None:
    await caller.send("DELETE", TARGET)
    caller.clock.now_s += 5 * MINUTE_S

    response = await caller.create(on_cluster(DEPLOYED_CLUSTER_ID, release_name=DEPLOYED_RELEASE_NAME))

    assert response.status_code == 201


async def test_delete_without_k8s_leaves_the_neighbour(caller: Caller) -> None:
    first, second = SHARED_RELEASE_IDS
    await caller.send("DELETE", f"{P}/{first}?with_k8s=false")
    caller.clock.now_s += 5 * MINUTE_S

    assert await caller.state(second) == "DEPLOYED"
    assert (await caller.send("GET", f"{P}/{first}")).status_code == 404


async def test_delete_with_k8s_takes_the_cluster_and_every_release_on_it(caller: Caller) -> None:
    first, second = SHARED_RELEASE_IDS
    await caller.send("DELETE", f"{P}/{first}?with_k8s=true")
    during = await caller.get(f"{P}/{second}")
    caller.clock.now_s += 5 * MINUTE_S

    assert (during["release_state"], during["cluster_state"]) == ("DELETING", "DELETING")
    assert [(await caller.send("GET", f"{P}/{each}")).status_code for each in (first, second)] == [404, 404]
    cluster = await caller.send("GET", f"{P}/clusters/{SHARED_CLUSTER_ID}/validate-namespaces")
    assert refusal(cluster) == (404, NOT_FOUND, f"Cluster ({SHARED_CLUSTER_ID}) does not exist.")


async def test_delete_with_a_word_for_with_k8s_is_refused(caller: Caller) -> None:
    response = await caller.send("DELETE", f"{TARGET}?with_k8s=maybe")

    assert refusal(response) == (400, VALIDATION, ["Input should be a valid boolean, unable to interpret input"])
    assert await caller.state(DEPLOYED_RELEASE_ID) == "DEPLOYED"


async def test_failed_platform_can_be_deleted(caller: Caller) -> None:
    assert (await caller.send("DELETE", f"{P}/{FAILED_RELEASE_ID}?with_k8s=true")).status_code == 200


# --- faults -----------------------------------------------------------------------------------------------------------


def has_release(caller: Caller) -> bool:
    return any(platform.release_name == "aiml-test" for platform in caller.sandbox.world.platforms())


@pytest.mark.parametrize(
    ("status", "content_type", "part"),
    [
        (401, "application/json", "HmacValidFail"),
        (403, "application/json", "Forbidden"),
        (406, "application/json", "NoSuchVersion"),
        (409, "application/json", "Conflict"),
        (417, "text/html; charset=utf-8", "Support ID"),
        (429, "text/plain; charset=utf-8", "local_rate_limited"),
        (500, "application/json", "ContactAdminForAssistance"),
        (502, "text/plain; charset=utf-8", "upstream connect error"),
        (503, "text/plain; charset=utf-8", "upstream connect error"),
        (504, "text/plain; charset=utf-8", "upstream connect error"),
    ],
)
async def test_status_fault_answers_in_the_services_shape(
    caller: Caller, status: int, content_type: str, part: str
) -> None:
    caller.sandbox.faults.add(Fault(FaultKind.STATUS, status=status))

    response = await caller.create()

    assert (response.status_code, response.headers["content-type"]) == (status, content_type)
    assert part in response.text
    assert not has_release(caller)


async def test_retry_after_is_there_only_when_asked_for(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("status=429"))
    caller.sandbox.faults.add(parse("status=429:retry_after=2"))

    answers = [await caller.send("GET", P) for _ in range(3)]

    assert [answer.headers.get("retry-after") for answer in answers] == [None, "2", None]
    assert [answer.status_code for answer in answers] == [429, 429, 200]


async def test_status_after_fault_has_acted(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("POST:status_after=503"))

    assert (await caller.create()).status_code == 503
    assert has_release(caller)


@pytest.mark.parametrize(("kind", "acted"), [("drop_before", False), ("drop_after", True), ("truncated", True)])
async def test_dropped_connection_is_a_protocol_error(caller: Caller, kind: str, acted: bool) -> None:
    caller.sandbox.faults.add(parse(f"POST:{kind}"))

    with pytest.raises(httpx2.RemoteProtocolError) as caught:
        await caller.create()

    assert str(caught.value.request.url) == HOST + P
    assert has_release(caller) is acted
    (seen,) = caller.sandbox.changes
    assert seen.status == (201 if kind == "truncated" else None)


async def test_hang_ends_with_the_callers_timeout(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("POST:hang"))

    with anyio.fail_after(5), pytest.raises(httpx2.ReadTimeout):
        await caller.create(read_timeout_s=0.01)

    assert not has_release(caller)


async def test_hang_can_be_cancelled(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("hang"))

    with anyio.move_on_after(0.01) as scope:
        await caller.send("GET", P, read_timeout_s=None)

    assert scope.cancelled_caught
    assert [request.status for request in caller.sandbox.seen] == [None]


async def test_slow_answers_in_full_after_its_delay(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("POST:slow=16"))

    with anyio.fail_after(5):
        response = await caller.create()

    assert response.status_code == 201
    assert caller.slept_s == [16]


async def test_slow_has_acted_even_if_the_caller_leaves() -> None:
    caller = Caller()
    caller.sandbox = Sandbox(clock_s=caller.clock)
    caller.sandbox.faults.add(parse("POST:slow"))

    with anyio.fail_after(5), pytest.raises(httpx2.ReadTimeout):
        await caller.create(read_timeout_s=0.01)

    assert has_release(caller)


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "body"),
    [
        ("html", 201, "text/html; charset=utf-8", None),
        ("not_json", 201, "application/json", b"{'result': accepted"),
        ("wrong_shape", 201, "application/json", b"[]"),
    ],
)
async def test_distorted_answer_has_acted(
    caller: Caller, kind: str, status: int, content_type: str, body: bytes | None
) -> None:
    caller.sandbox.faults.add(parse(f"POST:{kind}"))

    response = await caller.create()

    assert (response.status_code, response.headers["content-type"]) == (status, content_type)
    assert body in {None, response.content}
    assert has_release(caller)


async def test_firewall_page_has_not_acted(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("POST:html=417"))

    response = await caller.create()

    assert (response.status_code, response.headers["content-type"]) == (417, "text/html; charset=utf-8")
    assert "Request Rejected" in response.text
    assert not has_release(caller)


async def test_huge_answer_is_nothing_but_huge(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("GET:huge"))

    response = await caller.send("GET", P)

    assert len(response.content) > 8 * 1024 * 1024
    assert response.json() == await caller.get(P)


async def test_redirect_leads_elsewhere_and_has_not_acted(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("POST:redirect"))

    response = await caller.create()

    assert (response.status_code, response.headers["location"]) == (307, "https://elsewhere.invalid/")
    assert not has_release(caller)


async def test_fails_later_ends_in_failed(caller: Caller) -> None:
    caller.sandbox.faults.add(parse("POST:fails_later"))
    release_id = await caller.created_id()
    before = await caller.state(release_id)
    caller.clock.now_s += 10 * MINUTE_S

    assert (before, await caller.state(release_id)) == ("CREATING", "FAILED")


@pytest.mark.parametrize(
    ("method", "body"), [("PUT", {"ai_ml_ops_platform_endpoint_type": "Public"}), ("DELETE", None)]
)
async def test_failed_update_and_delete_leave_the_platform(caller: Caller, method: str, body: object) -> None:
    caller.sandbox.faults.add(Fault(FaultKind.FAILS_LATER, method))
    await caller.send(method, TARGET, body=body)
    caller.clock.now_s += 3600

    details = await caller.get(TARGET)
    assert (details["release_state"], details["ai_ml_ops_platform_endpoint_type"]) == ("FAILED", "Private")


async def test_fault_waits_for_its_method_and_operation(caller: Caller) -> None:
    caller.sandbox.faults.add(Fault(FaultKind.STATUS, "GET", "get_platform", status=503, times=2))

    answers = [await caller.send("GET", target) for target in (P, TARGET, f"{P}/images", TARGET, TARGET)]

    assert [answer.status_code for answer in answers] == [200, 503, 200, 503, 200]
    assert caller.sandbox.faults.waiting() == ()


async def test_burst_meets_the_firewall_until_it_is_over() -> None:
    caller = Caller(Profile(burst_limit=2))

    during = [(await caller.send("GET", P)).status_code for _ in range(3)]
    caller.clock.now_s += 60

    assert (during, (await caller.send("GET", P)).status_code) == ([200, 200, 417], 200)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("POST:drop_after", Fault(FaultKind.DROP_AFTER, "POST")),
        ("GET:status=503:times=2", Fault(FaultKind.STATUS, "GET", status=503, times=2)),
        ("slow=2.5", Fault(FaultKind.SLOW, delay_s=2.5)),
        ("html=417", Fault(FaultKind.HTML, status=417)),
        ("hang:operation=list_images", Fault(FaultKind.HANG, operation="list_images")),
        ("status=429:retry_after=2", Fault(FaultKind.STATUS, status=429, headers={"Retry-After": "2"})),
    ],
)
def test_fault_is_read_from_a_command_line(text: str, fault: Fault) -> None:
    assert parse(text) == fault


@pytest.mark.parametrize(
    "text",
    ["", "POST", "POST:", "explode", "status", "status=200", "hang=503", "hang:times=0", "hang:colour=red", "slow=x"],
)
def test_malformed_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


# --- what the sandbox remembers ---------------------------------------------------------------------------------------


async def test_seen_requests_are_as_they_came_in(caller: Caller) -> None:
    await caller.get(f"{P}/check-duplication?release_name=a%20b", version="1.1")
    await caller.send("DELETE", f"{P}/{UNKNOWN_ID}")
    await caller.send("PUT", TARGET, body={})

    get = SeenRequest("GET", f"{P}/check-duplication?release_name=a%20b", "aimlops-platform 1.1", b"", 200)
    delete = SeenRequest("DELETE", f"{P}/{UNKNOWN_ID}", None, b"", 404)
    put = SeenRequest("PUT", TARGET, None, b"{}", 200)
    assert list(caller.sandbox.seen) == [get, delete, put]
    assert caller.sandbox.changes == (delete, put)


async def test_lifespan_is_answered(caller: Caller) -> None:
    """Other servers than ours start an application this way."""
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    await caller.sandbox({"type": "lifespan"}, receive, send)

    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
