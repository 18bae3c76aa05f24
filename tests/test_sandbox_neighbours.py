"""The neighbouring services' look-ups in the sandbox, through the real client: one small world that fits together."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest
from aimlops_server.client import ApiClient
from aimlops_server.errors import Refused
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.neighbours import answers
from aimlops_server.sandbox.neighbours import seed as there
from aimlops_server.sandbox.profile import Profile, Version
from aimlops_server.sandbox.replies import iso
from aimlops_server.sandbox.routes import Address, find_address
from aimlops_server.sandbox.seed import (
    CREATING_CLUSTER_ID,
    DEPLOYED_CLUSTER_ID,
    DEPLOYED_RELEASE_ID,
    FREE_CLUSTER_ID,
)
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.sandbox.world import DELETE_S, INSTALL_S, NEW_CLUSTER_S, UPDATE_S
from aimlops_server.signing import sign
from aimlops_tools import OPERATIONS
from aimlops_tools.lookup import Lookup
from aimlops_tools.models import neighbours as n
from aimlops_tools.models.neighbours import LOOKUPS
from aimlops_tools.models.platforms import CreatePlatform, DeletePlatform, GetPlatform, ListPlatforms, UpdatePlatform

from tests.transports import client_of, serving
from tests.world import NEW_CLUSTER, SECRETS, Clock, create_arguments, make_sandbox, settings

pytestmark = pytest.mark.anyio

UNKNOWN_ID = "0" * 32
PARENTS = {"cluster_id": DEPLOYED_CLUSTER_ID, "hosted_zone_id": there.PRIVATE_ZONE_ID}
SERVICES = sorted({each.spec.service for each in LOOKUPS.values()})
JsonObject = dict[str, Any]


@pytest.fixture
async def api(sandbox: Sandbox, clock: Clock) -> AsyncGenerator[ApiClient]:
    """A client whose network is the sandbox in memory, under the services' real names."""
    async with client_of(SandboxTransport(sandbox), clock) as client:
        yield client


def lookup(kind: str, **arguments: Any) -> Lookup:
    """The look-up, with the ids in its path filled in."""
    parents = {name: PARENTS[name] for name in LOOKUPS[kind].spec.path_names}
    return LOOKUPS[kind](**{**parents, **arguments})


async def envelope(api: ApiClient, request: Lookup) -> JsonObject:
    """The whole answer as it came."""
    return (await api.read(request)).model_extra or {}


async def walk(api: ApiClient, start: Lookup) -> list[Any]:
    """Every item, page by page, until a page adds nothing new."""
    found: list[Any] = []
    request: Lookup | None = start
    while request is not None:
        page = request.items(await api.read(request))
        new = [item for item in page if item not in found]
        found += new
        request = request.after(page) if new else None
    return found


async def refusal(api: ApiClient, request: Lookup) -> tuple[int, str, str]:
    with pytest.raises(Refused) as caught:
        await api.read(request)
    return caught.value.status, caught.value.code, caught.value.happened


# --- every look-up ----------------------------------------------------------------------------------------------------


def test_every_declared_look_up_has_an_answer_and_a_name_of_its_own() -> None:
    assert set(LOOKUPS.values()) == set(answers._LISTINGS)  # pyright: ignore[reportPrivateUsage]  # the table is no one else's business
    assert LOOKUPS.keys() & OPERATIONS.keys() == set()


@pytest.mark.parametrize("kind", LOOKUPS)
async def test_every_item_of_a_look_up_is_an_option(sandbox: Sandbox, api: ApiClient, kind: str) -> None:
    """Nothing that the service lists is lost in reading it, and each has a value and a name."""
    request = lookup(kind)
    page = await api.read(request)
    items = request.items(page)

    assert len(items) == len(page.objects(request.items_name)) > 0
    assert [item for item in items if not item.value or "?" in item.label or "told" in item.label] == []
    (seen,) = sandbox.seen
    assert (seen.status, seen.version) == (200, f"{request.spec.service} {request.spec.versions[-1]}")
    assert sandbox.changes == ()


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize("kind", LOOKUPS)
async def test_walk_finds_every_item_once_whatever_the_page_size(
    sandbox: Sandbox, api: ApiClient, kind: str, size: int
) -> None:
    names = {"size", "limit"} & LOOKUPS[kind].model_fields.keys()
    expected = lookup(kind, **dict.fromkeys(names, 10_000))
    everything = expected.items(await api.read(expected))
    sandbox.seen.clear()

    assert await walk(api, lookup(kind, **dict.fromkeys(names, size))) == everything
    if names and kind not in {"keypairs", "security_groups"}:
        assert len(sandbox.seen) == len(everything) // size + (2 if len(everything) % size else 1)


@pytest.mark.parametrize(("kind", "size"), [("keypairs", "limit"), ("security_groups", "size")])
async def test_some_lists_ignore_the_page_size(sandbox: Sandbox, api: ApiClient, kind: str, size: str) -> None:
    request = lookup(kind, **{size: 1})

    assert len(request.items(await api.read(request))) == 3
    assert len(await walk(api, request)) == 3
    assert len(sandbox.seen) == 3


FREE_CLUSTER: JsonObject = {
    "created_at": "2026-06-23T14:13:20Z",
    "id": FREE_CLUSTER_ID,
    "kubernetes_version": "v1.33.5",
    "name": "free-cluster",
    "node_count": "3",
    "status": "RUNNING",
}
PLACE = {"vpc_id": there.MAIN_VPC_ID, "vpc_name": "mlops-vpc", "state": "ACTIVE"}
WHOLE: list[tuple[Lookup, JsonObject]] = [
    (
        n.Clusters(size=1),
        {"count": 48, "links": [], "clusters": [{**FREE_CLUSTER, "subnet_id": there.MAIN_SUBNET_ID}]},
    ),
    (
        n.OneCluster(cluster_id=FREE_CLUSTER_ID),
        {
            "cluster": {
                **FREE_CLUSTER,
                "private_endpoint_url": f"https://{FREE_CLUSTER_ID}.private.ske.sandbox.invalid:6443",
                "public_endpoint_url": None,
                "security_group_list": [{"id": there.SECURITY_GROUP_ID, "name": "mlops-nodes"}],
                "subnet": {"id": there.MAIN_SUBNET_ID, "name": "mlops-nodes"},
                "volume": {"id": there.NFS_VOLUME_ID, "name": "mlops_nfs"},
                "vpc": {"id": there.MAIN_VPC_ID, "name": "mlops-vpc"},
            }
        },
    ),
    (
        n.NodePools(cluster_id=DEPLOYED_CLUSTER_ID, size=1),
        {
            "count": 2,
            "links": [],
            "nodepools": [
                {
                    "current_node_count": "1",
                    "desired_node_count": "1",
                    "id": "69cae592-6be6-5bf1-d601-8c73e8ee2c92",
                    "image": {"os": "ubuntu", "os_version": "22.04"},
                    "is_auto_scale": "false",
                    "kubernetes_version": "v1.33.5",
                    "name": "gpu",
                    "server_type": {"description": "GPU, 16 vCPU, 240 GB", "id": "g1v16m240"},
                    "status": "Running",
                }
            ],
        },
    ),
    (
        n.NodeImages(size=2, kubernetes_version="v1.34.3"),
        {
            "count": 2,
            "links": [],
            "nodepool_images": [
                {
                    "end_of_support": "false",
                    "id": "IMAGE-919ad9b9aa4a57f5ac4e",
                    "kubernetes_version": "v1.34.3",
                    "os": "ubuntu",
                    "os_version": "22.04",
                    "volume": {"size": 104},
                },
                {
                    "end_of_support": "false",
                    "id": "IMAGE-ef24bfe8f2993486c570",
                    "kubernetes_version": "v1.34.3",
                    "os": "rhel",
                    "os_version": "9.4",
                    "volume": {"size": 104},
                },
            ],
        },
    ),
    (
        n.Subnets(size=1, page=2),
        {
            "count": 6,
            "page": 2,
            "size": 1,
            "sort": [],
            "subnets": [
                {
                    **PLACE,
                    "cidr": "192.168.9.0/24",
                    "id": there.BROKEN_SUBNET_ID,
                    "name": "mlops-old",
                    "state": "ERROR",
                    "type": "PRIVATE",
                }
            ],
        },
    ),
    (
        n.FileVolumes(offset=2, limit=1),
        {
            "count": 4,
            "filestorages": [
                {
                    "id": there.CIFS_VOLUME_ID,
                    "name": "office_cifs",
                    "protocol": "CIFS",
                    "purpose": "none",
                    "state": "available",
                    "type_name": "HDD",
                }
            ],
        },
    ),
    (
        n.ServerTypes(limit=1, marker="s1v16m32"),
        {
            "server_types": [
                {"description": "Standard, 16 vCPU, 64 GB", "id": "s1v16m64", "ram": 65536, "vcpus": 16},
            ]
        },
    ),
    (
        n.DnsRecords(hosted_zone_id=there.PRIVATE_ZONE_ID, limit=1),
        {
            "count": 3,
            "links": [],
            "metadata": {"total_count": 3},
            "records": [
                {
                    "id": there.RECORD_ID,
                    "name": "wiki.mlops.internal",
                    "records": ["192.168.2.20"],
                    "status": "ACTIVE",
                    "ttl": "300",
                    "type": "A",
                }
            ],
        },
    ),
    (
        n.AccountQuotas(),
        {
            "account_quotas": [
                {"applied_value": "100", "quota_item": "AIMLOPS_PLATFORM.COUNT", "service": "aimlops-platform"},
                {"applied_value": "100", "quota_item": "SKE_CLUSTER.COUNT", "service": "ske"},
            ],
            "count": 2,
            "page": 0,
            "size": 100,
            "sort": [],
        },
    ),
]


@pytest.mark.parametrize(("request_", "expected"), WHOLE, ids=[each.tool_name() for each, _ in WHOLE])
async def test_whole_answer(api: ApiClient, request_: Lookup, expected: JsonObject) -> None:
    assert await envelope(api, request_) == expected


async def test_gpu_images_are_for_ubuntu_alone(api: ApiClient) -> None:
    request = n.NodeImages(scp_original_image_type="k8s_gpu")
    items = [n.NodeImage.model_validate(each) for each in request.items(await api.read(request))]

    assert {item.value for item in items} == {"ubuntu 22.04"}
    assert len(items) == 4


async def test_one_kubernetes_version_is_past_its_end(api: ApiClient, clock: Clock) -> None:
    listed = (await envelope(api, n.KubernetesVersions()))["kubernetes_versions"]

    assert [(each["kubernetes_version"], each["end_dt"] < iso(clock.now_s)) for each in listed] == [
        (there.ENDED_KUBERNETES_VERSION, True),
        ("v1.32.8", False),
        (there.KUBERNETES_VERSION, False),
        (there.NEWEST_KUBERNETES_VERSION, False),
    ]


async def test_what_is_listed_refers_to_what_is_listed(api: ApiClient, sandbox: Sandbox) -> None:
    """No id leads nowhere, and each has its service's format."""

    async def ids(kind: str) -> set[str]:
        return {item.value for item in await walk(api, lookup(kind))}

    vpcs, subnets, groups, volumes = [
        await ids(kind) for kind in ("vpcs", "subnets", "security_groups", "file_volumes")
    ]
    clusters = sandbox.world.clusters()
    places = {subnet.id: subnet.vpc_id for subnet in sandbox.world.neighbours.subnets}
    balancers = sandbox.world.neighbours.load_balancers
    images = {(i.kubernetes_version, i.os, i.os_version, i.for_gpus) for i in sandbox.world.neighbours.node_images}

    assert set(places.values()) <= vpcs
    assert [b for b in balancers if places[b.subnet_id] != b.vpc_id] == []
    assert [c for c in clusters if places[c.network.subnet_id] != c.network.vpc_id] == []
    assert {each for c in clusters for each in c.network.security_group_ids} <= groups
    assert {c.network.volume_id for c in clusters} <= volumes
    assert {pool.server_type_id for c in clusters for pool in c.pools} <= await ids("server_types")
    needed = {
        (c.kubernetes_version, p.image_os, p.image_os_version, p.server_type_id[0] == "g")
        for c in clusters
        for p in c.pools
    }
    assert needed <= images
    pools = await ids("node_pools")
    records = await ids("dns_records")
    for each in vpcs | subnets | await ids("clusters") | await ids("load_balancers"):
        assert re.fullmatch("[0-9a-f]{32}", each)
    for each in groups | volumes | pools | records:
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each)


FILTERS: list[tuple[str, str, str, list[str]]] = [
    ("vpc", "/v1/vpcs?cidr=10.20.0.0%2F16", "vpcs", [there.OTHER_VPC_ID]),
    ("vpc", "/v1/subnets?vpc_name=mlops-vpc&type=PUBLIC", "subnets", [there.MAIN_PUBLIC_SUBNET_ID]),
    ("vpc", "/v1/vpcs?sort=name:desc&size=2", "vpcs", [there.OTHER_VPC_ID, there.CREATING_VPC_ID]),
    ("ske", "/v1/clusters?status=CREATING", "clusters", [CREATING_CLUSTER_ID]),
    ("ske", "/v1/images?scp_original_image_type=k8s&os=rhel&kubernetes_version=v1.32.8", "nodepool_images", ["8.10"]),
    (
        "loadbalancer",
        "/v1/loadbalancers?layer_type=L4&vpc_id=" + there.MAIN_VPC_ID,
        "loadbalancers",
        [there.LOAD_BALANCER_ID],
    ),
    ("dns", "/v1/hosted-zones?type=private", "hosted_zones", [there.PRIVATE_ZONE_ID]),
    ("dns", f"/v1/hosted-zones/{there.PRIVATE_ZONE_ID}/records?data=192.168.2.20", "records", [there.RECORD_ID]),
    ("dns", f"/v1/hosted-zones/{there.PRIVATE_ZONE_ID}/records?name=iki", "records", [there.RECORD_ID]),
    ("filestorage", "/v1/volumes?name=office_cifs&colour=red", "filestorages", [there.CIFS_VOLUME_ID]),
    ("vpc", "/v1/vpcs?page=9", "vpcs", []),
]


async def get(sandbox: Sandbox, url: str, clock: Clock, *, signed_url: str | None = None, **headers: str) -> Any:
    """A signed GET; `signed_url` is what is signed in place of the URL."""
    signature = sign(settings().keys, "GET", signed_url or url, clock.ms())
    async with httpx2.AsyncClient(transport=SandboxTransport(sandbox)) as http:
        return await http.get(url, headers={**signature, **headers})


@pytest.mark.parametrize(("service", "target", "name", "expected"), FILTERS, ids=[each[1] for each in FILTERS])
async def test_filters_that_the_look_ups_do_not_use_yet(
    sandbox: Sandbox, clock: Clock, service: str, target: str, name: str, expected: list[str]
) -> None:
    response = await get(sandbox, f"https://{service}.sandbox.invalid{target}", clock)

    key = "os_version" if name == "nodepool_images" else "id"
    assert [item[key] for item in response.json()[name]] == expected


# --- refusals ---------------------------------------------------------------------------------------------------------

BAD_QUERIES: list[tuple[str, str, list[str]]] = [
    ("ske", "/v1/images?kubernetes_version=v1.33.5", ["Field required"]),
    ("ske", "/v1/images?scp_original_image_type=", ["Field required"]),
    ("ske", "/v1/images?scp_original_image_type=vm", ["scp_original_image_type [k8s|k8s_gpu]"]),
    ("vpc", "/v1/vpcs?size=x", ["Input should be a valid integer, unable to parse string as an integer"]),
    ("vpc", "/v1/vpcs?page=-1", ["Input should be a valid integer, unable to parse string as an integer"]),
    ("vpc", "/v1/vpcs?sort=name", ["sort [field:asc|field:desc]"]),
]


@pytest.mark.parametrize(("service", "target", "detail"), BAD_QUERIES)
async def test_malformed_query_is_refused_before_permission_is_asked(
    clock: Clock, service: str, target: str, detail: list[str]
) -> None:
    sandbox = make_sandbox(clock, profile=Profile(denied_services=frozenset({service})))

    response = await get(sandbox, f"https://{service}.sandbox.invalid{target}", clock)

    (error,) = response.json()["errors"]
    assert (response.status_code, error["code"], error["detail"]) == (400, "ValidationError", detail)


@pytest.mark.parametrize(
    "request_",
    [
        n.OneCluster(cluster_id=UNKNOWN_ID),
        n.NodePools(cluster_id=UNKNOWN_ID),
        n.DnsRecords(hosted_zone_id="unknown"),
    ],
    ids=lambda each: each.tool_name(),
)
async def test_unknown_parent_is_not_found(api: ApiClient, request_: Lookup) -> None:
    assert (await refusal(api, request_))[:2] == (404, "NotFound")


async def test_unknown_marker_is_refused(api: ApiClient) -> None:
    assert (await refusal(api, n.VolumeTypes(marker="SSD")))[:2] == (400, "BadRequest")


async def test_denied_service_names_the_action_and_the_others_go_on(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(denied_services=frozenset({"ske"})))
    async with client_of(SandboxTransport(sandbox), clock) as api:
        refusals = [await refusal(api, lookup(kind)) for kind in ("clusters", "one_cluster", "node_images")]
        vpcs = await envelope(api, n.Vpcs())
        platforms = await api.read(ListPlatforms())

    assert [(status, code) for status, code, _ in refusals] == [(403, "Forbidden")] * 3
    actions = [re.findall(r"ske:\w+", happened)[0] for _, _, happened in refusals]
    assert actions == ["ske:ListClusters", "ske:ShowCluster", "ske:ListNodeImages"]
    assert (vpcs["count"], platforms.total_count) == (3, 45)


async def test_one_look_up_can_be_denied(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(denied=frozenset({"subnets"})))
    async with client_of(SandboxTransport(sandbox), clock) as api:
        assert (await refusal(api, n.Subnets()))[:2] == (403, "Forbidden")
        assert (await envelope(api, n.Vpcs()))["count"] == 3


async def test_neighbours_ask_for_credentials_too(sandbox: Sandbox, clock: Clock) -> None:
    url = "https://vpc.sandbox.invalid/v1/vpcs"
    async with httpx2.AsyncClient(transport=SandboxTransport(sandbox)) as http:
        unsigned = await http.get(url)
    forged = await get(sandbox, url, clock, signed_url=f"{url}?size=1")

    assert (unsigned.status_code, unsigned.json()["path"]) == (404, "/v1/vpcs")
    assert (forged.status_code, forged.json()["errors"][0]["code"]) == (401, "HmacValidFail")


async def test_fault_meets_a_look_up_by_its_name(sandbox: Sandbox, api: ApiClient) -> None:
    sandbox.faults.add(parse("GET:status=503:operation=vpcs"))
    await api.read(n.Subnets())
    await api.read(n.Vpcs())

    assert [(seen.target.partition("?")[0], seen.status) for seen in sandbox.seen] == [
        ("/v1/subnets", 200),
        ("/v1/vpcs", 503),
        ("/v1/vpcs", 200),
    ]


async def test_product_that_is_not_enabled_leaves_the_neighbours(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(product_enabled=False))
    async with client_of(SandboxTransport(sandbox), clock) as api:
        assert (await envelope(api, n.Vpcs()))["count"] == 3
        with pytest.raises(Refused, match="HTTP 401"):
            await api.read(ListPlatforms())


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
async def test_discovery_lists_each_service_s_own_versions_unsigned(sandbox: Sandbox, service: str) -> None:
    (current,) = {each.spec.versions[-1] for each in LOOKUPS.values() if each.spec.service == service}
    major, minor = current.split(".")
    async with httpx2.AsyncClient(transport=SandboxTransport(sandbox)) as http:
        versions = (await http.get(f"https://{service}.sandbox.invalid/")).json()["versions"]

    assert [(version["id"], version["status"]) for version in versions] == [
        (f"v{current}", "CURRENT"),
        (f"v{major}.{int(minor) - 1}", "SUPPORTED"),
    ]
    assert versions[0]["links"] == [{"href": f"https://{service}.sandbox.invalid/v1", "rel": "self"}]


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("ske 1.6", 200),
        ("ske 1.5", 200),
        ("ske 1.4", 406),
        ("vpc 1.6", 406),
        ("aimlops-platform 1.1", 406),
        ("1.6", 406),
    ],
)
async def test_version_header_names_the_service(sandbox: Sandbox, clock: Clock, version: str, status: int) -> None:
    url = "https://ske.sandbox.invalid/v1/kubernetes-versions"

    assert (await get(sandbox, url, clock, **{"Scp-Api-Version": version})).status_code == status


async def test_refused_version_gives_way_to_the_current_one(clock: Clock) -> None:
    newer = Profile(neighbour_versions={"vpc": (Version("2.0", "CURRENT", "-"), Version("1.9", "SUPPORTED", "-"))})
    sandbox = make_sandbox(clock, profile=newer)
    async with client_of(SandboxTransport(sandbox), clock) as api:
        first = await envelope(api, n.Vpcs())
        await api.read(n.Subnets())
        await api.read(n.SecurityGroups())

    asked = [(s.target.partition("?")[0], s.version, s.status) for s in sandbox.seen if s.target != "/"]
    assert first["count"] == 3
    assert asked == [
        ("/v1/vpcs", "vpc 1.4", 406),
        ("/v1/vpcs", "vpc 2.0", 200),
        ("/v1/subnets", "vpc 2.0", 200),
        ("/v1/security-groups", "security-group 1.1", 200),
    ]


def test_profile_needs_one_current_version_of_each_service() -> None:
    with pytest.raises(ValueError, match="exactly one CURRENT version"):
        Profile(neighbour_versions={"ske": (Version("1.6", "SUPPORTED", "-"),)})


# --- addresses --------------------------------------------------------------------------------------------------------

ADDRESSES = [
    ("ske.kr-west1.e.samsungsdscloud.com", "/v1/clusters", Address("ske", "/v1/clusters")),
    ("SKE.sandbox.invalid:8443", "/v1/clusters", Address("ske", "/v1/clusters")),
    ("quota.e.samsungsdscloud.com", "/v1/account-quotas", Address("quota", "/v1/account-quotas")),
    ("127.0.0.1:8080", "/ske/v1/clusters", Address("ske", "/v1/clusters", "/ske")),
    ("127.0.0.1:8080", "/security-group/", Address("security-group", "/", "/security-group")),
    ("127.0.0.1:8080", "/ske", Address("ske", "/", "/ske")),
    ("localhost", "/v1/aimlops-platform", Address("aimlops-platform", "/v1/aimlops-platform")),
    (
        "localhost",
        "/aimlops-platform/v1/aimlops-platform",
        Address("aimlops-platform", "/v1/aimlops-platform", "/aimlops-platform"),
    ),
    ("vpc.sandbox.invalid", "/ske/v1/clusters", Address("vpc", "/ske/v1/clusters")),
    ("skewed.example", "/v1/clusters", Address("aimlops-platform", "/v1/clusters")),
    ("", "/", Address("aimlops-platform", "/")),
]


@pytest.mark.parametrize(("host", "path", "expected"), ADDRESSES)
def test_service_is_in_the_host_or_else_in_the_path(host: str, path: str, expected: Address) -> None:
    assert find_address(host, path) == expected


@pytest.mark.parametrize("kind", LOOKUPS)
async def test_no_other_service_answers_a_look_up_s_path(sandbox: Sandbox, clock: Clock, kind: str) -> None:
    request = lookup(kind)
    others = [service for service in (*SERVICES, "aimlops-platform") if service != request.spec.service]
    target = request.wire("").target
    responses = [await get(sandbox, f"https://{service}.sandbox.invalid{target}", clock) for service in others]

    assert {response.status_code for response in responses} == {404}


async def test_over_http_the_path_names_the_service(clock: Clock) -> None:
    """The real client and the real server: a look-up of each kind, a version refused, and the product itself."""
    sandbox = make_sandbox(clock, profile=Profile(neighbour_versions={"vpc": (Version("2.0", "CURRENT", "-"),)}))
    async with serving(sandbox) as url, client_of(None, clock, endpoint=f"{url}/{{service}}") as api:
        for kind in LOOKUPS:
            await api.read(lookup(kind))
        platform = await api.read(GetPlatform(release_id=DEPLOYED_RELEASE_ID))
        versions = await api.versions("vpc")

    assert platform.release_id == DEPLOYED_RELEASE_ID
    assert [(version.id, version.status) for version in versions] == [("2.0", "CURRENT")]
    refused = [seen.target.partition("?")[0] for seen in sandbox.seen if seen.status != 200]
    assert refused == ["/vpc/v1/vpcs"]
    assert sandbox.seen[0].target == "/ske/v1/clusters?size=100&page=0"


async def test_signature_covers_the_prefix(clock: Clock) -> None:
    sandbox = make_sandbox(clock)
    base = "http://127.0.0.1:8080"
    right = await get(sandbox, f"{base}/vpc/v1/vpcs", clock)
    wrong = await get(sandbox, f"{base}/vpc/v1/vpcs", clock, signed_url=f"{base}/v1/vpcs")

    assert (right.status_code, wrong.status_code) == (200, 401)


async def test_discovery_under_a_prefix_links_to_it(sandbox: Sandbox) -> None:
    async with httpx2.AsyncClient(transport=SandboxTransport(sandbox)) as http:
        found = (await http.get("http://127.0.0.1:8080/ske/")).json()["versions"][0]

    assert (found["id"], found["links"][0]["href"]) == ("v1.6", "http://127.0.0.1:8080/ske/v1")


# --- one world --------------------------------------------------------------------------------------------------------


async def test_cluster_of_a_create_is_in_ske_until_it_is_deleted(api: ApiClient, clock: Clock) -> None:
    """With the network, the pool and the states that the request and the clock give it."""
    arguments = {**create_arguments(cluster_id=None), **NEW_CLUSTER}

    async def named() -> list[tuple[str, str]]:
        listed = (await envelope(api, n.Clusters()))["clusters"]
        return [(each["status"], each["node_count"]) for each in listed if each["name"] == "new-cluster"]

    before = await named()
    release_id = (await api.change(CreatePlatform.validate_arguments(arguments), SECRETS)).resource_id
    cluster_id = (await api.read(GetPlatform(release_id=release_id))).cluster_id
    building = await named()
    shown = (await envelope(api, n.OneCluster(cluster_id=cluster_id)))["cluster"]
    (pool,) = (await envelope(api, n.NodePools(cluster_id=cluster_id)))["nodepools"]
    clock.now_s += NEW_CLUSTER_S + INSTALL_S
    built = await named()
    await api.change(DeletePlatform(release_id=release_id, with_k8s=True))
    leaving = await named()
    clock.now_s += DELETE_S

    assert (before, building, built, leaving, await named()) == (
        [],
        [("CREATING", "3")],
        [("RUNNING", "3")],
        [("DELETING", "3")],
        [],
    )
    assert (shown["vpc"]["id"], shown["subnet"]["id"], shown["volume"]["id"], shown["public_endpoint_url"]) == (
        there.MAIN_VPC_ID,
        there.MAIN_SUBNET_ID,
        there.NFS_VOLUME_ID,
        None,
    )
    assert shown["security_group_list"] == [{"id": there.SECURITY_GROUP_ID, "name": "mlops-nodes"}]
    assert pool == {
        "current_node_count": "0",
        "desired_node_count": "3",
        "id": pool["id"],
        "image": {"os": "ubuntu", "os_version": "22.04"},
        "is_auto_scale": "false",
        "kubernetes_version": "v1.33.5",
        "name": "pool-1",
        "server_type": {"description": "Standard, 16 vCPU, 64 GB", "id": "s1v16m64"},
        "status": "Creating",
    }


async def test_new_cluster_with_auto_scale_and_a_public_endpoint_shows_both(api: ApiClient, clock: Clock) -> None:
    engine = {**NEW_CLUSTER["kubernetes_engine_create_request"], "public_acl_ip_address": "192.0.2.0/24"}
    pool = {**NEW_CLUSTER["node_pool_create_request"], "is_auto_scale": True, "min_node_count": 2, "max_node_count": 5}
    arguments = {
        **create_arguments(cluster_id=None),
        "kubernetes_engine_create_request": engine,
        "node_pool_create_request": pool,
    }

    release_id = (await api.change(CreatePlatform.validate_arguments(arguments), SECRETS)).resource_id
    cluster_id = (await api.read(GetPlatform(release_id=release_id))).cluster_id
    clock.now_s += NEW_CLUSTER_S
    shown = (await envelope(api, n.OneCluster(cluster_id=cluster_id)))["cluster"]
    (pool,) = (await envelope(api, n.NodePools(cluster_id=cluster_id)))["nodepools"]

    assert shown["public_endpoint_url"] == f"https://{cluster_id}.ske.sandbox.invalid:6443"
    assert (pool["is_auto_scale"], pool["current_node_count"], pool["status"]) == ("true", "2", "Running")


async def test_cluster_s_state_is_the_same_in_both_services(api: ApiClient, sandbox: Sandbox) -> None:
    listed = (await envelope(api, n.Clusters()))["clusters"]
    states = {each["id"]: each["status"] for each in listed}

    assert states == {c.cluster_id: c.state(sandbox.world.now_s()) for c in sandbox.world.clusters()}
    assert (states[CREATING_CLUSTER_ID], states[FREE_CLUSTER_ID]) == ("CREATING", "RUNNING")


async def test_record_of_a_platform_is_in_its_zone(api: ApiClient, clock: Clock) -> None:
    service = {
        "operation_type": "CREATE",
        "dns_id": there.PRIVATE_ZONE_ID,
        "record_name": "fraud",
        "domain_service_name": "fraud.mlops.internal",
        "ip": "192.168.3.20",
    }
    arguments = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_domain_service": service}

    async def labels() -> list[str]:
        return [item.label for item in await walk(api, n.DnsRecords(hosted_zone_id=there.PRIVATE_ZONE_ID))]

    before = await labels()
    await api.change(UpdatePlatform.validate_arguments(arguments))
    clock.now_s += UPDATE_S

    assert await labels() == [*before, "fraud.mlops.internal A 192.168.3.20"]
    other = await walk(api, n.DnsRecords(hosted_zone_id=there.PUBLIC_ZONE_ID))
    assert [item.name for item in other] == ["www.mlops.example.com"]


async def test_quotas_are_those_that_a_create_meets(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(platform_quota=45, cluster_quota=7))
    async with client_of(SandboxTransport(sandbox), clock) as api:
        quotas = {item.service: item.applied_value for item in await walk(api, n.AccountQuotas())}
        with pytest.raises(Refused, match="quota"):
            await api.change(CreatePlatform.validate_arguments(create_arguments()), SECRETS)

    assert quotas == {"aimlops-platform": "45", "ske": "7"}
