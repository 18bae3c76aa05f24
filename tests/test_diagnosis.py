"""diagnose_platform: each cause that the sandbox can produce, most likely first, and what could not be looked at."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.seed import (
    CREATING_RELEASE_ID,
    DEPLOYED_CLUSTER_ID,
    DEPLOYED_RELEASE_ID,
    DEPLOYED_RELEASE_NAME,
    FAILED_RELEASE_ID,
    SHARED_RELEASE_IDS,
    SMALL_CLUSTER_ID,
)
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.sandbox.world import UPDATE_S, ChangeKind, Transition
from aimlops_tools.models.neighbours import LOOKUPS

from tests.world import Clock, make_sandbox, says, session, text_of

pytestmark = pytest.mark.anyio

JsonObject = dict[str, Any]
# Likelihood, what, seen, do.
Told = tuple[str, str, str, str]
EVERYTHING = [
    "cluster",
    "namespaces",
    "node pools",
    "nodes",
    "other platforms",
    "resources",
    "storage classes",
]
NOT_LISTED = "not listed before a platform is deployed, nor without a cluster"
FAILURE: Told = (
    "certain",
    "its installation or last change failed; the service tells no reason",
    "release_state is FAILED",
    "mend the other causes, then delete_platform and create_platform again; vendor support has the reason",
)
NODES = f'list_nodes(cluster_id="{DEPLOYED_CLUSTER_ID}")'


async def diagnosis(
    sandbox: Sandbox, clock: Clock, release_id: str, era: str = "2026-07-28", **options: Any
) -> JsonObject:
    """The whole answer; nothing was changed for it."""
    before = len(sandbox.changes)
    async with session(sandbox, era, clock=clock, **options) as client:
        result = await client.call_tool("diagnose_platform", {"release_id": release_id})
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    assert len(sandbox.changes) == before
    return result.structured_content


def causes(found: JsonObject) -> list[Told]:
    return [(cause["likelihood"], cause["what"], cause["seen"], cause["do"]) for cause in found["causes"]]


def change_platform(sandbox: Sandbox, release_id: str = DEPLOYED_RELEASE_ID, **fields: Any) -> None:
    platform = sandbox.world.platform(release_id)
    assert platform is not None
    sandbox.world.put(replace(platform, **fields))


def change_cluster(sandbox: Sandbox, **fields: Any) -> None:
    cluster = sandbox.world.cluster(DEPLOYED_CLUSTER_ID)
    assert cluster is not None
    sandbox.world.put_cluster(replace(cluster, **fields))


async def test_healthy_platform_has_no_cause(sandbox: Sandbox, clock: Clock, era: str) -> None:
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID, era)

    assert found == {
        "summary": f"Platform '{DEPLOYED_RELEASE_NAME}' is DEPLOYED. Nothing wrong was found from outside; "
        "look into the dashboard and the cluster's workloads.",
        "causes": [],
        "checked": EVERYTHING,
        "could_not_check": [],
        "platform": found["platform"],
    }
    assert found["platform"]["release_id"] == DEPLOYED_RELEASE_ID


async def test_failed_platform_whose_cluster_is_gone(sandbox: Sandbox, clock: Clock, era: str) -> None:
    found = await diagnosis(sandbox, clock, FAILED_RELEASE_ID, era)

    assert found["summary"].startswith("Platform '실패한-배포' is FAILED. Certain: its installation")
    assert causes(found) == [
        FAILURE,
        (
            "likely",
            "its Kubernetes cluster no longer exists",
            "the platform's details name no cluster and no cluster state",
            'find_options(kind="clusters") shows those there are; delete the platform, and create it on another',
        ),
    ]
    assert found["checked"] == ["other platforms"]
    assert found["could_not_check"] == [
        "cluster: not there (HTTP 404)",
        "namespaces: not there (HTTP 404)",
        "node pools: not there (HTTP 404)",
        f"nodes: {NOT_LISTED}",
        "resources: not there (HTTP 404)",
        f"storage classes: {NOT_LISTED}",
    ]


async def test_failed_platform_on_a_cluster_that_is_too_small(sandbox: Sandbox, clock: Clock) -> None:
    change_platform(sandbox, FAILED_RELEASE_ID, cluster_id=SMALL_CLUSTER_ID)
    found = await diagnosis(sandbox, clock, FAILED_RELEASE_ID)

    assert causes(found) == [
        FAILURE,
        (
            "likely",
            "the cluster is too small for Enterprise",
            "validate_cluster_resources answers false (its meaning is inferred)",
            "add nodes to the cluster, then delete the platform and create it again",
        ),
    ]


async def test_install_that_fails_is_certain(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults.add(parse("PUT:fails_later"))
    update = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
    async with session(sandbox, person=says({"confirm": True}), clock=clock) as client:
        await client.call_tool("update_platform", update)
    clock.now_s += UPDATE_S

    assert causes(await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)) == [FAILURE]


@pytest.mark.parametrize(
    ("change", "state", "age_min", "stuck"),
    [
        (ChangeKind.CREATE, "CREATING", 100, False),
        (ChangeKind.CREATE, "CREATING", 101, True),
        (ChangeKind.UPDATE, "UPDATING", 20, False),
        (ChangeKind.UPDATE, "UPDATING", 21, True),
        (ChangeKind.DELETE, "DELETING", 60, False),
        (ChangeKind.DELETE, "DELETING", 61, True),
    ],
)
async def test_change_that_takes_twice_the_usual_time_is_stuck(
    sandbox: Sandbox, clock: Clock, change: ChangeKind, state: str, age_min: int, *, stuck: bool
) -> None:
    started_s = clock.now_s
    change_platform(
        sandbox,
        transition=Transition(change, started_s, 1_000_000),
        created_s=started_s,
        modified_s=None if change is ChangeKind.CREATE else started_s,
    )
    clock.now_s += age_min * 60
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)

    expected: Told = (
        (
            "likely",
            f"it is stuck in {state}",
            f"for {age_min} minutes; twice the usual time has passed",
            "give the release_id to the vendor's support; a delete is refused while it is changing",
        )
        if stuck
        else ("certain", f"it is still {state}", f"for {age_min} minutes, which is not unusual", "wait_for_platform")
    )
    assert expected in causes(found)
    assert len(causes(found)) == 1


async def test_platform_that_is_being_created_is_waited_for(sandbox: Sandbox, clock: Clock, era: str) -> None:
    found = await diagnosis(sandbox, clock, CREATING_RELEASE_ID, era)

    assert causes(found) == [
        ("certain", "it is still CREATING", "for 3 minutes, which is not unusual", "wait_for_platform")
    ]
    assert found["could_not_check"] == [f"nodes: {NOT_LISTED}", f"storage classes: {NOT_LISTED}"]


async def test_cluster_that_is_not_running(sandbox: Sandbox, clock: Clock) -> None:
    change_cluster(sandbox, transition=Transition(ChangeKind.UPDATE, clock.now_s, 3600))
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)

    assert causes(found) == [
        (
            "likely",
            "its Kubernetes cluster cluster-fraud is not healthy",
            "its state is UPDATING, not RUNNING",
            "wait_for_platform if the cluster is still changing; otherwise look at it in the Kubernetes service",
        ),
        *(
            (
                "possible",
                f"node pool {name} is not at rest",
                "its state is Updating, not RUNNING",
                f'find_options(kind="node_pools", cluster_id="{DEPLOYED_CLUSTER_ID}")',
            )
            for name in ("gpu", "pool")
        ),
    ]


async def test_cluster_that_is_not_running_is_known_without_the_kubernetes_service(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(denied_services=frozenset({"ske"})))
    change_cluster(sandbox, transition=Transition(ChangeKind.UPDATE, clock.now_s, 3600))
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)

    assert causes(found) == [
        (
            "likely",
            "its Kubernetes cluster is not running",
            "cluster_state is UPDATING",
            "look at the cluster in the Kubernetes service",
        )
    ]


async def test_cluster_without_nodes(sandbox: Sandbox, clock: Clock) -> None:
    change_cluster(sandbox, pools=())
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)

    assert causes(found) == [("likely", "the cluster has no nodes", "the list of nodes is empty", NODES)]


class Altered(httpx2.AsyncBaseTransport):
    """The sandbox, the text of whose answers at one path is altered: for what it cannot produce by itself."""

    def __init__(self, sandbox: Sandbox, path: str, alter: Callable[[str], str]) -> None:
        self._inner = SandboxTransport(sandbox)
        self._path = path
        self._alter = alter

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if not request.url.path.endswith(self._path):
            return response
        text = self._alter((await response.aread()).decode())
        return httpx2.Response(response.status_code, stream=httpx2.ByteStream(text.encode()))


async def test_nodes_that_are_not_ready_and_differ(sandbox: Sandbox, clock: Clock) -> None:
    def alter(text: str) -> str:
        return text.replace('"Ready"', '"NotReady"', 1).replace("v1.33.5", "v1.32.8", 1)

    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID, transport=Altered(sandbox, "/nodes", alter))

    ((likely, what, seen, do), versions) = causes(found)
    assert (likely, what, do) == ("likely", "1 of 3 nodes are not ready", NODES)
    assert seen.startswith("cluster-fraud-")
    assert seen.endswith(" (NotReady)")
    assert versions == ("possible", "the nodes run different Kubernetes versions", "v1.32.8, v1.33.5", NODES)


@pytest.mark.parametrize(
    ("storage_class_name", "likelihood"), [(None, "likely"), ("nfs-subdir-external-sc", "possible")]
)
async def test_no_default_storage_class(
    sandbox: Sandbox, clock: Clock, storage_class_name: str | None, likelihood: str
) -> None:
    cluster = sandbox.world.cluster(DEPLOYED_CLUSTER_ID)
    assert cluster is not None
    change_cluster(sandbox, storage_classes=tuple(replace(each, is_default=False) for each in cluster.storage_classes))
    change_platform(sandbox, storage_class_name=storage_class_name)
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)

    assert causes(found) == [
        (
            likelihood,
            "the cluster has no default storage class, so volumes may stay unbound",
            "2 storage classes, none of them the default",
            "list_storage_classes; name one in storage_class_name at the next create",
        )
    ]


async def test_second_platform_on_the_cluster(sandbox: Sandbox, clock: Clock) -> None:
    found = await diagnosis(sandbox, clock, SHARED_RELEASE_IDS[0])

    assert causes(found) == [
        (
            "possible",
            "another platform shares the cluster, and both compete for its namespaces and nodes",
            "on the same cluster: shared-serving",
            "list_platforms with this cluster_name",
        )
    ]


async def test_namespaces_that_are_missing(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(installed_is_true=False))

    assert causes(await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)) == [
        (
            "likely",
            "the product's namespaces are missing from the cluster, although the platform counts as deployed",
            "validate_cluster_namespace answers false (its meaning is inferred)",
            "ask whether someone removed them in the cluster; the platform has to be created again",
        )
    ]


async def test_deployed_platform_without_address_or_dashboard(sandbox: Sandbox, clock: Clock) -> None:
    def alter(text: str) -> str:
        details = json.loads(text)
        del details["ai_ml_ops_platform_endpoint_ip_address"]
        return json.dumps({**details, "dashboard_state": "DOWN"})

    transport = Altered(sandbox, f"/{DEPLOYED_RELEASE_ID}", alter)
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID, transport=transport)

    assert causes(found) == [
        ("likely", "it has no address, so nobody reaches the dashboard", "no endpoint IP", "update_platform"),
        (
            "possible",
            "its dashboard may be down",
            "dashboard_state is DOWN (its values are not documented)",
            "open the dashboard's address; look at the nodes",
        ),
    ]


async def test_causes_are_in_order_of_likelihood(sandbox: Sandbox, clock: Clock) -> None:
    """Several at once: the state, the cluster and its size, the second platform."""
    small = sandbox.world.cluster(SMALL_CLUSTER_ID)
    assert small is not None
    change_cluster(sandbox, pools=small.pools, transition=Transition(ChangeKind.UPDATE, clock.now_s, 3600))
    change_platform(sandbox, FAILED_RELEASE_ID, cluster_id=DEPLOYED_CLUSTER_ID)
    found = await diagnosis(sandbox, clock, FAILED_RELEASE_ID)

    assert [(likelihood, what) for likelihood, what, _, _ in causes(found)] == [
        ("certain", "its installation or last change failed; the service tells no reason"),
        ("likely", "its Kubernetes cluster cluster-fraud is not healthy"),
        ("likely", "the cluster is too small for Enterprise"),
        ("possible", "node pool pool is not at rest"),
        ("possible", "another platform shares the cluster, and both compete for its namespaces and nodes"),
    ]
    assert found["summary"] == f"Platform '실패한-배포' is FAILED. Certain: {FAILURE[1]}."


async def test_what_the_key_may_not_read_is_named(clock: Clock) -> None:
    denied = {
        "list_platforms",
        "list_nodes",
        "list_storage_classes",
        "validate_cluster_namespace",
        "validate_cluster_resources",
    }
    services = frozenset(lookup.spec.service for lookup in LOOKUPS.values())
    sandbox = make_sandbox(clock, profile=Profile(denied=frozenset(denied), denied_services=services))
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)

    assert (found["causes"], found["checked"]) == ([], [])
    assert [line.partition(": ")[0] for line in found["could_not_check"]] == EVERYTHING
    assert all(": The service answered HTTP 403; " in line for line in found["could_not_check"])


async def test_failing_reads_leave_the_rest(sandbox: Sandbox, clock: Clock) -> None:
    for operation in ("list_nodes:not_json", "list_storage_classes:wrong_shape", "node_pools:status=500"):
        name, _, fault = operation.partition(":")
        sandbox.faults.add(parse(f"GET:{fault}:operation={name}"))
    found = await diagnosis(sandbox, clock, DEPLOYED_RELEASE_ID)

    assert found["checked"] == ["cluster", "namespaces", "other platforms", "resources"]
    assert [line.partition(": ")[0] for line in found["could_not_check"]] == ["node pools", "nodes", "storage classes"]
    assert found["causes"] == []


async def test_unknown_platform_is_an_error(sandbox: Sandbox, clock: Clock, era: str) -> None:
    async with session(sandbox, era, clock=clock) as client:
        result = await client.call_tool("diagnose_platform", {"release_id": "0" * 32})

    assert result.is_error
    assert text_of(result).startswith("diagnose_platform failed. The service answered HTTP 404")
    assert len(sandbox.seen) == 1
