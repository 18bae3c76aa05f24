"""dry_run of a create: each planted mistake is caught with what mends it, within limits, and nothing is sent."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from aimlops_server.guard.plan import Check, Finding
from aimlops_server.guard.readiness import Readiness
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.neighbours import seed as there
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.seed import (
    CREATING_CLUSTER_ID,
    DEPLOYED_CLUSTER_ID,
    DEPLOYED_RELEASE_NAME,
    FREE_GPU_CLUSTER_ID,
    INSTALLED_CLUSTER_ID,
    MINI_IMAGE_ID,
    SEEDED_PLATFORMS,
    SMALL_CLUSTER_ID,
)
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.together import AT_ONCE as MAX_AT_ONCE
from aimlops_server.wording import Wording
from aimlops_tools.models.neighbours import LOOKUPS
from aimlops_tools.models.platforms import CreatePlatform
from mcp import Client

from tests.transports import client_of
from tests.world import NEW_CLUSTER, Clock, create_arguments, make_sandbox, session, text_of

pytestmark = pytest.mark.anyio

JsonObject = dict[str, Any]
# A failure: name, whether it is inferred, detail, fix.
Failure = tuple[str, bool, str, str]
OWNERS = {
    "platform": "ai_ml_ops_platform_create_request",
    "engine": "kubernetes_engine_create_request",
    "pool": "node_pool_create_request",
}
# Every create here is of version 1.2: without a zone, which it has, each would show the same advice.
VERSION = "1.2"
FIND_CLUSTERS = 'find_options(kind="clusters")'
OTHER_CLUSTER = f"choose another cluster: {FIND_CLUSTERS}"
SUBNETS = f'find_options(kind="subnets", vpc_id="{there.MAIN_VPC_ID}")'
IMAGES = f'find_options(kind="node_images", kubernetes_version="{{}}", server_type_id="{there.SERVER_TYPE_ID}")'


def changed(arguments: JsonObject, **changes: Mapping[str, Any] | None) -> JsonObject:
    """The arguments with other fields in their three objects; a None leaves the field, or the object, out."""
    new = deepcopy(arguments)
    for owner, fields in changes.items():
        if fields is None:
            del new[OWNERS[owner]]
            continue
        merged = {**new.get(OWNERS[owner], {}), **fields}
        new[OWNERS[owner]] = {name: value for name, value in merged.items() if value is not None}
    return new


ON_EXISTING = create_arguments()
ON_NEW = changed({**create_arguments(), **NEW_CLUSTER}, platform={"cluster_id": None}, pool={"zone": "kr-west1-a"})


async def checks_of(client: Client, arguments: JsonObject) -> list[JsonObject]:
    """Every check of a dry run."""
    result = await client.call_tool("create_platform", {**arguments, "dry_run": True})
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    plan: JsonObject = result.structured_content["plan"]
    stops = any(check["finding"] == "fail" and not check.get("inferred") for check in plan["checks"])
    step = "correct what stops it" if stops else "call again without dry_run; the user is asked"
    assert (result.structured_content["sent"], result.structured_content["next"]) == (False, step)
    return plan["checks"]


def failures(checks: list[JsonObject]) -> list[Failure]:
    return [
        (check["name"], check.get("inferred", False), check["detail"], check.get("fix", ""))
        for check in checks
        if check["finding"] == "fail"
    ]


def unknown(checks: list[JsonObject]) -> list[tuple[str, str]]:
    return [(check["name"], check["detail"]) for check in checks if check["finding"] == "could not check"]


async def test_sound_create_passes_every_check(sandbox: Sandbox, clock: Clock, era: str) -> None:
    async with session(sandbox, era, clock=clock, api_version=VERSION) as client:
        on_existing = await checks_of(client, ON_EXISTING)
        on_new = await checks_of(client, ON_NEW)

    assert {check["finding"] for check in on_existing + on_new} == {"pass"}
    assert [(check["name"], check.get("inferred", False)) for check in on_existing] == [
        ("name", False),
        ("image", False),
        ("cluster", True),
        ("version", True),
        ("namespace", True),
        ("resources", True),
        ("cluster is free", True),
        ("quota", True),
    ]
    assert [(check["name"], check.get("inferred", False)) for check in on_new] == [
        ("name", False),
        ("image", False),
        ("cluster name", True),
        ("Kubernetes version", True),
        ("VPC", True),
        ("subnet", True),
        ("security group", True),
        ("file volume", True),
        ("server type", True),
        ("volume type", True),
        ("key pair", True),
        ("node image", True),
        ("size", True),
        ("quota", True),
        ("quota", True),
    ]
    assert sandbox.changes == ()


HALF = "a platform needs a cluster: cluster_id, or the two objects of a new one"
ADD = "add {}; find_options lists the values"
MISTAKES: dict[str, tuple[JsonObject, list[Failure]]] = {
    "taken name": (
        changed(ON_EXISTING, platform={"release_name": DEPLOYED_RELEASE_NAME}),
        [("name", False, f'"{DEPLOYED_RELEASE_NAME}" is taken', "choose another; check_platform_name tells")],
    ),
    "name against the rules": (
        changed(ON_EXISTING, platform={"release_name": "Team_Vision"}),
        [
            (
                "name",
                True,
                '"Team_Vision" is not 3 to 30 lower-case letters, digits and hyphens',
                "choose another release_name",
            )
        ],
    ),
    "unknown image": (
        changed(ON_EXISTING, platform={"image_id": "IMAGE-none"}),
        [
            (
                "image",
                False,
                'there is no "IMAGE-none"; there are: IMAGE-R=HXHY3ccc9f3TSVtPpPFR (Enterprise), '
                "IMAGE-Wd=m4Kq2vLw7ZtNc4YbXs1 (Mini)",
                "list_images",
            )
        ],
    ),
    "image of the other type": (
        changed(ON_EXISTING, platform={"image_id": MINI_IMAGE_ID}),
        [("image", True, "AIMLOps Platform 1.9.1 is for Mini, not Enterprise", "list_images")],
    ),
    "no email": (
        changed(ON_EXISTING, platform={"initial_user_email": None}),
        [
            (
                "email",
                True,
                "nobody can log in without the first user's email",
                "ask the user for initial_user_email",
            )
        ],
    ),
    "email that is none": (
        changed(ON_EXISTING, platform={"initial_user_email": "someone"}),
        [("email", True, '"someone" is not an email address', "ask the user for initial_user_email")],
    ),
    "namespace clash": (
        changed(ON_EXISTING, platform={"cluster_id": INSTALLED_CLUSTER_ID}),
        [("namespace", True, "a platform is already installed on this cluster", OTHER_CLUSTER)],
    ),
    "cluster that carries a platform": (
        changed(ON_EXISTING, platform={"cluster_id": DEPLOYED_CLUSTER_ID, "storage_class_name": "none"}),
        [
            ("namespace", True, "a platform is already installed on this cluster", OTHER_CLUSTER),
            ("cluster is free", True, f'it carries "{DEPLOYED_RELEASE_NAME}" already', OTHER_CLUSTER),
            (
                "storage class",
                True,
                'there is no "none"; there are: nfs-subdir-external-sc, bs-fast',
                "list_storage_classes",
            ),
        ],
    ),
    "too few nodes": (
        changed(ON_EXISTING, platform={"cluster_id": SMALL_CLUSTER_ID}),
        [
            (
                "resources",
                True,
                "the cluster is too small",
                f"add nodes to the cluster, or choose another: {FIND_CLUSTERS}",
            )
        ],
    ),
    "cluster that is being built": (
        changed(ON_EXISTING, platform={"cluster_id": CREATING_CLUSTER_ID}),
        [
            (
                "cluster",
                True,
                "being-built (Kubernetes v1.33.5, 3 nodes): its state is CREATING, not RUNNING",
                FIND_CLUSTERS,
            )
        ],
    ),
    "unknown cluster": (
        changed(ON_EXISTING, platform={"cluster_id": "0" * 32}),
        [
            ("namespace", False, "there is no such cluster", FIND_CLUSTERS),
            ("resources", False, "there is no such cluster", FIND_CLUSTERS),
            ("cluster", True, "there is no such cluster", FIND_CLUSTERS),
        ],
    ),
    "both halves and cluster_id": (
        changed(ON_NEW, platform={"cluster_id": FREE_GPU_CLUSTER_ID}),
        [
            (
                "request",
                True,
                "cluster_id and a new cluster's two objects are alternatives",
                "leave out cluster_id, or both kubernetes_engine_create_request and node_pool_create_request",
            )
        ],
    ),
    "no cluster at all": (
        changed(ON_EXISTING, platform={"cluster_id": None}),
        [("request", True, HALF, ADD.format("cluster_id"))],
    ),
    "no node pool": (changed(ON_NEW, pool=None), [("request", True, HALF, ADD.format(OWNERS["pool"]))]),
    "no engine": (changed(ON_NEW, engine=None), [("request", True, HALF, ADD.format(OWNERS["engine"]))]),
    "taken cluster name": (
        changed(ON_NEW, engine={"kubernetes_engine_name": "free-cluster"}),
        [
            (
                "cluster name",
                True,
                'there is a cluster "free-cluster" already',
                "choose another kubernetes_engine_name",
            )
        ],
    ),
    "unsupported Kubernetes version": (
        changed(ON_NEW, engine={"k8s_version": "v1.30.1"}),
        [
            (
                "Kubernetes version",
                True,
                'there is no "v1.30.1"; there are: v1.31.8, v1.32.8, v1.33.5, v1.34.3',
                'find_options(kind="kubernetes_versions")',
            ),
            (
                "node image",
                True,
                "ubuntu 22.04, Kubernetes v1.32.8, disk from 104 GB: it is for Kubernetes v1.32.8, not v1.30.1",
                IMAGES.format("v1.30.1"),
            ),
        ],
    ),
    "Kubernetes version at its end": (
        changed(ON_NEW, engine={"k8s_version": there.ENDED_KUBERNETES_VERSION}),
        [
            (
                "Kubernetes version",
                True,
                "Kubernetes v1.31.8 (supported until 2026-08-22): its support ended on 2026-08-22",
                'find_options(kind="kubernetes_versions")',
            ),
            (
                "node image",
                True,
                "ubuntu 22.04, Kubernetes v1.31.8, disk from 104 GB: it is no longer supported",
                IMAGES.format("v1.31.8"),
            ),
        ],
    ),
    "two Kubernetes versions": (
        changed(ON_NEW, pool={"kubernetes_version": "v1.34.3"}),
        [
            (
                "Kubernetes version",
                True,
                "kubernetes_version v1.34.3 and k8s_version v1.33.5 differ",
                "give both the same",
            )
        ],
    ),
    "VPC that is being made": (
        changed(ON_NEW, engine={"vpc_id": there.CREATING_VPC_ID, "subnet_id": there.CREATING_SUBNET_ID}),
        [
            (
                "VPC",
                True,
                "new-vpc (172.16.0.0/16): its state is CREATING, not ACTIVE",
                'find_options(kind="vpcs")',
            ),
            (
                "subnet",
                True,
                "new-nodes (172.16.1.0/24, PRIVATE): its state is CREATING, not ACTIVE",
                f'find_options(kind="subnets", vpc_id="{there.CREATING_VPC_ID}")',
            ),
        ],
    ),
    "subnet of another VPC": (
        changed(ON_NEW, engine={"subnet_id": there.OTHER_SUBNET_ID}),
        [
            (
                "subnet",
                True,
                f"분석팀-내부 (10.10.1.0/24, PRIVATE): it is in VPC {there.OTHER_VPC_ID}, not in {there.MAIN_VPC_ID}",
                SUBNETS,
            )
        ],
    ),
    "broken subnet": (
        changed(ON_NEW, engine={"subnet_id": there.BROKEN_SUBNET_ID}),
        [("subnet", True, "mlops-old (192.168.9.0/24, PRIVATE): its state is ERROR, not ACTIVE", SUBNETS)],
    ),
    "public dashboard in a private subnet": (
        changed(ON_NEW, platform={"ai_ml_ops_platform_endpoint_type": "Public"}),
        [
            (
                "endpoint",
                True,
                "the endpoint is Public, but subnet mlops-nodes is private and there is no lb_id",
                f"make the endpoint Private, or {SUBNETS}",
            )
        ],
    ),
    "load balancer of another VPC": (
        changed(ON_NEW, engine={"lb_id": there.OTHER_LOAD_BALANCER_ID}),
        [
            (
                "load balancer",
                True,
                f"분석팀-lb (L4, 10.10.1.10): it is in VPC {there.OTHER_VPC_ID}, not in {there.MAIN_VPC_ID}",
                f'find_options(kind="load_balancers", vpc_id="{there.MAIN_VPC_ID}")',
            )
        ],
    ),
    "no security group": (
        changed(ON_NEW, engine={"security_group_id_list": []}),
        [("security group", True, "at least one is needed", 'find_options(kind="security_groups")')],
    ),
    "security groups that are not there or not ready": (
        changed(ON_NEW, engine={"security_group_id_list": ["no-group", there.CREATING_SECURITY_GROUP_ID]}),
        [
            (
                "security group",
                True,
                f'there is no "no-group"; there are: {there.SECURITY_GROUP_ID}, {there.SECOND_SECURITY_GROUP_ID}, '
                f"{there.CREATING_SECURITY_GROUP_ID}",
                'find_options(kind="security_groups")',
            ),
            (
                "security group",
                True,
                "new-group (0 rules): its state is CREATING, not ACTIVE",
                'find_options(kind="security_groups")',
            ),
        ],
    ),
    "cluster open to everyone": (
        changed(ON_NEW, engine={"public_acl_ip_address": "0.0.0.0/0"}),
        [
            (
                "public access",
                True,
                "0.0.0.0/0 opens the cluster's API to everyone",
                "set public_acl_ip_address to the users' own range",
            )
        ],
    ),
    "CIFS in volume_id": (
        changed(ON_NEW, engine={"volume_id": there.CIFS_VOLUME_ID}),
        [
            (
                "file volume",
                True,
                "office_cifs (CIFS, HDD): its protocol is CIFS, and volume_id needs NFS",
                'find_options(kind="file_volumes")',
            )
        ],
    ),
    "NFS in cifs_volume_id": (
        changed(ON_NEW, engine={"cifs_volume_id": there.SECOND_NFS_VOLUME_ID}),
        [("CIFS volume", True, "공유_nfs is NFS, not CIFS", 'find_options(kind="file_volumes")')],
    ),
    "what the nodes are made of is unknown": (
        changed(ON_NEW, pool={"server_type_id": "x1", "volume_type_name": "TAPE", "keypair_name": "none"}),
        [
            (
                "server type",
                True,
                'there is no "x1"; there are: s1v2m4, s1v2m8, s1v4m8, s1v4m16, s1v8m16, s1v8m32, s1v16m32, '
                "s1v16m64 and 3 more",
                'find_options(kind="server_types")',
            ),
            (
                "volume type",
                True,
                'there is no "TAPE"; there are: HDD, HDD_KMS, SSD, SSD_KMS, SSD_Provisioned',
                'find_options(kind="volume_types")',
            ),
            (
                "key pair",
                True,
                'there is no "none"; there are: mlops-key, admin-key, 분석팀-key',
                'find_options(kind="keypairs")',
            ),
        ],
    ),
    "too few nodes in a new cluster": (
        changed(ON_NEW, pool={"desired_node_count": 1}),
        [
            (
                "size",
                True,
                "1 nodes: 16 vCPU, 64 GB; Enterprise needs about 24 vCPU, 96 GB",
                'raise desired_node_count, or take a larger type: find_options(kind="server_types")',
            )
        ],
    ),
    "nodes too small, disks that this API cannot order": (
        changed(
            ON_NEW,
            pool={"server_type_id": "s1v2m8", "volume_type_name": "SSD_Provisioned", "desired_node_count": 12},
        ),
        [
            (
                "server type",
                True,
                "s1v2m8 (2 vCPU, 8 GB): it is smaller than 4 vCPU and 16 GB",
                'find_options(kind="server_types")',
            ),
            (
                "volume type",
                True,
                "SSD_Provisioned (Solid state disk with IOPS and throughput of choice): it needs IOPS and "
                "throughput, which this API cannot give",
                'find_options(kind="volume_types")',
            ),
        ],
    ),
    "image of another version": (
        changed(ON_NEW, engine={"k8s_version": "v1.34.3"}, pool={"image_os": "rhel", "image_os_version": "8.10"}),
        [
            (
                "node image",
                True,
                "rhel 8.10, Kubernetes v1.32.8, disk from 104 GB: it is for Kubernetes v1.32.8, not v1.34.3",
                IMAGES.format("v1.34.3"),
            )
        ],
    ),
    "unknown operating system": (
        changed(ON_NEW, pool={"image_os": "plan9"}),
        [
            (
                "node image",
                True,
                'there is no "plan9 22.04"; there are: rhel 8.10, rhel 9.4, ubuntu 22.04',
                IMAGES.format("v1.33.5"),
            )
        ],
    ),
    "disk smaller than the image's": (
        changed(ON_NEW, pool={"volume_size": 103}),
        [("volume size", True, "103 GB is less than the image's 104 GB", "set volume_size to 104 or more")],
    ),
    "min above max": (
        changed(
            ON_NEW,
            pool={"is_auto_scale": True, "min_node_count": 5, "max_node_count": 3, "desired_node_count": None},
        ),
        [("node count", True, "min_node_count is larger than max_node_count", "swap them")],
    ),
    "desired outside min and max": (
        changed(
            ON_NEW, pool={"is_auto_scale": True, "min_node_count": 1, "max_node_count": 3, "desired_node_count": 4}
        ),
        [
            (
                "node count",
                True,
                "desired_node_count is outside min_node_count and max_node_count",
                "set it between them",
            )
        ],
    ),
    "auto-scale without limits": (
        changed(ON_NEW, pool={"is_auto_scale": True, "max_node_count": 3}),
        [("node count", True, "is_auto_scale needs both limits", "add min_node_count and max_node_count")],
    ),
    "limits without auto-scale": (
        changed(ON_NEW, pool={"min_node_count": 1, "max_node_count": 3}),
        [
            (
                "node count",
                True,
                "min_node_count and max_node_count mean nothing without is_auto_scale",
                "set is_auto_scale, or leave them out",
            )
        ],
    ),
    "no count": (
        changed(ON_NEW, pool={"desired_node_count": None}),
        [("node count", True, "it is needed without is_auto_scale", "add desired_node_count")],
    ),
    "no nodes": (
        changed(ON_NEW, pool={"desired_node_count": 0}),
        [("node count", True, "a count below 1 makes no nodes", "set it to 1 or more")],
    ),
    "name of the node pool": (
        changed(ON_NEW, pool={"name": "Pool"}),
        [
            (
                "node pool name",
                True,
                '"Pool" is not 3 to 20 lower-case letters, digits and hyphens',
                "choose another name",
            )
        ],
    ),
    "node pool of an existing cluster": (
        changed(ON_NEW, pool={"cluster_id": FREE_GPU_CLUSTER_ID}),
        [
            (
                "request",
                True,
                "a new cluster's id cannot be known yet",
                "leave out node_pool_create_request.cluster_id",
            )
        ],
    ),
    "no zone": (
        changed(ON_NEW, pool={"zone": None}),
        [
            (
                "zone",
                True,
                "a node pool without zone failed on accounts with a single zone",
                "add zone, e.g. kr-west1-a",
            )
        ],
    ),
}


async def test_each_planted_mistake_is_caught_with_what_mends_it(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, clock=clock, api_version=VERSION) as client:
        found = {name: failures(await checks_of(client, arguments)) for name, (arguments, _) in MISTAKES.items()}

    assert found == {name: expected for name, (_, expected) in MISTAKES.items()}
    assert sandbox.changes == ()


async def test_full_quotas_are_caught(clock: Clock) -> None:
    clusters = len(make_sandbox(clock).world.clusters())
    sandbox = make_sandbox(clock, profile=Profile(platform_quota=SEEDED_PLATFORMS, cluster_quota=clusters))
    async with session(sandbox, clock=clock, api_version=VERSION) as client:
        on_existing = failures(await checks_of(client, ON_EXISTING))
        on_new = failures(await checks_of(client, ON_NEW))

    more = "delete what is not needed, or ask for a higher quota"
    full = "{} used".format
    platforms = ("quota", True, full(f"aimlops-platform AIMLOPS_PLATFORM.COUNT: {SEEDED_PLATFORMS} of 45"), more)
    assert on_existing == [platforms]
    assert on_new == [platforms, ("quota", True, full(f"ske SKE_CLUSTER.COUNT: {clusters} of {clusters}"), more)]


NEIGHBOURS = frozenset(lookup.spec.service for lookup in LOOKUPS.values())


async def test_denied_services_are_one_line_and_stop_nothing(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(denied_services=NEIGHBOURS))
    async with session(sandbox, clock=clock, api_version=VERSION) as client:
        checks = await checks_of(client, ON_NEW)

    assert failures(checks) == []
    assert unknown(checks) == [
        (
            "cluster name, Kubernetes version, VPC, subnet, security group, file volume, server type, volume type, "
            "key pair, node image, size, quota",
            "the key may not look it up (HTTP 403)",
        )
    ]


def test_names_in_one_line_are_each_in_the_persons_language() -> None:
    line = Check("subnet, file volume", Finding.UNKNOWN, "x").line(Wording("ko-KR"))

    assert line == "서브넷, 파일 볼륨: 확인 불가 – x"


async def test_denied_product_checks_are_one_line_too(clock: Clock) -> None:
    denied = {"check_platform_name", "list_images", "list_platforms", "validate_cluster_namespace"}
    sandbox = make_sandbox(clock, profile=Profile(denied=frozenset(denied)))
    async with session(sandbox, clock=clock, api_version=VERSION) as client:
        checks = await checks_of(client, ON_EXISTING)

    assert unknown(checks) == [
        ("name, image, namespace, cluster is free, quota", "the key may not look it up (HTTP 403)")
    ]
    assert failures(checks) == []


async def test_plain_endpoint_is_one_line_and_reads_no_neighbour(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, clock=clock, api_version=VERSION, endpoint="https://one.example.com") as client:
        checks = await checks_of(client, ON_NEW)

    ((names, why),) = unknown(checks)
    assert names.startswith("cluster name, Kubernetes version, VPC, ")
    assert why.startswith("SCP_ENDPOINT is the address of one service")
    assert {seen.version for seen in sandbox.seen} == {f"aimlops-platform {VERSION}"}


async def test_failures_come_first_and_passed_checks_last(clock: Clock) -> None:
    """A preview is cut at its end: what a person must see stands before it."""
    sandbox = make_sandbox(clock, profile=Profile(denied_services=frozenset({"vpc"})))
    arguments = changed(
        ON_NEW, platform={"release_name": DEPLOYED_RELEASE_NAME}, engine={"volume_id": there.CIFS_VOLUME_ID}
    )
    async with session(sandbox, clock=clock, api_version=VERSION) as client:
        checks = await checks_of(client, arguments)

    assert [(check["name"], check["finding"]) for check in checks[:4]] == [
        ("name", "fail"),
        ("file volume", "fail"),
        ("VPC, subnet", "could not check"),
        ("image", "pass"),
    ]


@dataclass
class Counter(httpx2.AsyncBaseTransport):
    """The sandbox, each answer of which takes some turns; counts the requests in flight."""

    inner: SandboxTransport
    now: int = 0
    most: int = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        try:
            return await self.inner.handle_async_request(request)
        finally:
            self.now -= 1


@pytest.mark.parametrize(
    ("arguments", "most"), [(ON_EXISTING, 7), (ON_NEW, MAX_AT_ONCE)], ids=["existing cluster", "new cluster"]
)
async def test_checks_run_at_once_within_the_limit_and_read_nothing_twice(
    sandbox: Sandbox, clock: Clock, arguments: JsonObject, most: int
) -> None:
    counter = Counter(SandboxTransport(sandbox))
    async with session(sandbox, clock=clock, transport=counter, api_version=VERSION) as client:
        await checks_of(client, arguments)

    targets = [(seen.version, seen.target) for seen in sandbox.seen]
    assert len(targets) == len(set(targets))
    # On an existing cluster, of eight checks that read, one waits for what another reads.
    assert counter.most == most <= 8


async def checked(sandbox: Sandbox, clock: Clock, wait_s: float) -> tuple[Check, ...]:
    create = CreatePlatform.model_validate(ON_NEW)
    async with client_of(SandboxTransport(sandbox), clock, api_version=VERSION) as api:
        return await Readiness(api, Wording(), VERSION, wait_s).checks(create)


async def test_hanging_service_is_given_up_in_time(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults.add(parse("GET:hang:operation=vpcs:times=9"))
    checks = await checked(sandbox, clock, 0.3)

    assert [check for check in checks if check.finding is not Finding.PASS] == [
        Check("VPC", Finding.UNKNOWN, "no answer within 0.3 s")
    ]


async def test_hanging_everything_is_given_up_in_the_same_time(sandbox: Sandbox, clock: Clock) -> None:
    """One limit for all checks, though they take turns: more of them than may be in flight at once."""
    sandbox.faults.add(parse("GET:hang:times=99"))
    with anyio.fail_after(5):
        started_s = anyio.current_time()
        checks = await checked(sandbox, clock, 0.3)
        took_s = anyio.current_time() - started_s

    (check,) = checks
    assert (check.finding, check.detail) == (Finding.UNKNOWN, "no answer within 0.3 s")
    assert check.name.split(", ")[:3] == ["name", "image", "cluster name"]
    assert len(check.name.split(", ")) == 14
    # Two rounds of turns would take twice as long.
    assert took_s < 0.6


async def test_product_that_cannot_be_read_makes_no_plan(sandbox: Sandbox, clock: Clock, era: str) -> None:
    sandbox.faults.add(parse("GET:status=500:operation=check_platform_name"))
    async with session(sandbox, era, clock=clock, api_version=VERSION) as client:
        result = await client.call_tool("create_platform", {**ON_NEW, "dry_run": True})

    assert result.is_error
    assert text_of(result).startswith("create_platform failed. The service answered HTTP 500")
    assert sandbox.changes == ()
