"""diagnose_platform: what is wrong with a platform, most likely cause first, and which call shows more.

Every rule is inferred: the service documents one state, DEPLOYED, and no reason for a failure.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import anyio
from aimlops_tools.lookup import Needs
from aimlops_tools.models import neighbours as n
from aimlops_tools.models.clusters import (
    ListNodes,
    ListStorageClasses,
    NodeResponse,
    StorageClassResponse,
    ValidateClusterNamespace,
    ValidateClusterResources,
)
from aimlops_tools.models.platforms import AiMlOpsPlatformDetailResponse, GetPlatform, KubeflowResponse, ListPlatforms
from aimlops_tools.procedure import Cause, DiagnosePlatform, Diagnosis

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, Refused
from aimlops_server.neighbours import Neighbours
from aimlops_server.paging import walk
from aimlops_server.procedures.waiting import DEPLOYED, has_failed

# Twice what a create with a new cluster took live (facts 5).
STUCK_S = {"CREATING": 100 * 60, "UPDATING": 20 * 60, "DELETING": 60 * 60}
STUCK_ANYWAY_S = 100 * 60
WAIT_S = 30.0
_NODE_IS_FINE = frozenset({"ready", "running", "active"})

Likelihood = Literal["certain", "likely", "possible"]


@dataclass(slots=True)
class _Seen:
    """What could be read; None where it could not."""

    platform: AiMlOpsPlatformDetailResponse
    checked: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    nodes: list[NodeResponse] | None = None
    storage_classes: tuple[StorageClassResponse, ...] | None = None
    has_namespaces: bool | None = None
    is_enough: bool | None = None
    cluster: list[n.Cluster] | None = None
    pools: list[n.NodePool] | None = None
    others: list[KubeflowResponse] | None = None


async def diagnose_platform(api: ApiClient, call: DiagnosePlatform, now_s: float) -> Diagnosis:
    """Answer one call.

    Raises:
        AimlopsError: the platform itself cannot be read.
    """
    platform = await api.read(GetPlatform(release_id=call.release_id))
    seen = _Seen(platform)
    await _look_around(api, seen)
    order: list[Likelihood] = ["certain", "likely", "possible"]
    causes = sorted(_causes(seen, now_s), key=lambda cause: order.index(cause.likelihood))
    return Diagnosis(
        summary=_summary(platform, causes),
        causes=tuple(causes),
        checked=tuple(sorted(seen.checked)),
        could_not_check=tuple(sorted(seen.failed)),
        platform=platform,
    )


async def _look_around(api: ApiClient, seen: _Seen) -> None:
    cluster_id = seen.platform.cluster_id
    neighbours = Neighbours(api)

    async def read(name: str, look: Callable[[], Awaitable[None]]) -> None:
        try:
            with anyio.fail_after(WAIT_S):
                await look()
        except AimlopsError as error:
            seen.failed.append(f"{name}: {_why_not(name, error)}")
        except (TimeoutError, ValueError):
            seen.failed.append(f"{name}: no answer that can be used")
        else:
            seen.checked.append(name)

    async def nodes() -> None:
        seen.nodes = await walk(api, ListNodes(cluster_id=cluster_id, size=100))

    async def storage_classes() -> None:
        seen.storage_classes = (await api.read(ListStorageClasses(cluster_id=cluster_id))).items

    async def namespaces() -> None:
        seen.has_namespaces = (await api.read(ValidateClusterNamespace(cluster_id=cluster_id))).result

    async def resources() -> None:
        kind = "mini" if (seen.platform.ai_ml_ops_platform_type or "").lower() == "mini" else "enterprise"
        check = ValidateClusterResources(cluster_id=cluster_id, product_type=kind)
        seen.is_enough = (await api.read(check)).result

    async def cluster() -> None:
        seen.cluster = await neighbours.all(n.OneCluster(cluster_id=cluster_id), n.Cluster)

    async def pools() -> None:
        seen.pools = await neighbours.all(n.NodePools(cluster_id=cluster_id), n.NodePool)

    async def others() -> None:
        everyone = await walk(api, ListPlatforms(size=100))
        mine = seen.platform
        seen.others = [p for p in everyone if p.cluster_id == cluster_id and p.release_id != mine.release_id]

    async with anyio.create_task_group() as group:
        for name, look in {
            "nodes": nodes,
            "storage classes": storage_classes,
            "namespaces": namespaces,
            "resources": resources,
            "cluster": cluster,
            "node pools": pools,
            "other platforms": others,
        }.items():
            group.start_soon(read, name, look)


def _why_not(name: str, error: AimlopsError) -> str:
    if not isinstance(error, Refused) or error.status != 404:
        return error.happened
    # These are listed only once a platform is deployed there (facts 5): that is no failure of the look.
    late = name in {"nodes", "storage classes"}
    return "not listed before a platform is deployed, nor without a cluster" if late else "not there (HTTP 404)"


def _causes(seen: _Seen, now_s: float) -> Iterator[Cause]:
    platform = seen.platform
    state = platform.release_state.upper()
    healthy = state == DEPLOYED
    yield from _of_the_cluster(seen)
    yield from _of_the_nodes(seen)
    if seen.is_enough is False and not healthy:
        yield _cause(
            "likely",
            f"the cluster is too small for {platform.ai_ml_ops_platform_type or 'this type'}",
            "validate_cluster_resources answers false (its meaning is inferred)",
            "add nodes to the cluster, then delete the platform and create it again",
        )
    if seen.storage_classes is not None and not any(_is_default(each) for each in seen.storage_classes):
        yield _cause(
            "possible" if platform.storage_class_name else "likely",
            "the cluster has no default storage class, so volumes may stay unbound",
            f"{len(seen.storage_classes)} storage classes, none of them the default",
            "list_storage_classes; name one in storage_class_name at the next create",
        )
    if seen.has_namespaces is False and healthy:
        yield _cause(
            "likely",
            "the product's namespaces are missing from the cluster, although the platform counts as deployed",
            "validate_cluster_namespace answers false (its meaning is inferred)",
            "ask whether someone removed them in the cluster; the platform has to be created again",
        )
    if seen.others:
        names = ", ".join(each.release_name for each in seen.others[:5])
        yield _cause(
            "possible",
            "another platform shares the cluster, and both compete for its namespaces and nodes",
            f"on the same cluster: {names}",
            "list_platforms with this cluster_name",
        )
    yield from _of_its_state(seen, state, now_s)


def _of_the_cluster(seen: _Seen) -> Iterator[Cause]:
    platform = seen.platform
    if platform.cluster_name is None and platform.cluster_state is None:
        yield _cause(
            "likely",
            "its Kubernetes cluster no longer exists",
            "the platform's details name no cluster and no cluster state",
            'find_options(kind="clusters") shows those there are; delete the platform, and create it on another',
        )
        return
    for cluster in seen.cluster or ():
        for reason in cluster.unsuitable(Needs()):
            yield _cause(
                "likely",
                f"its Kubernetes cluster {cluster.name} is not healthy",
                str(reason),
                "wait_for_platform if the cluster is still changing; otherwise look at it in the Kubernetes service",
            )
    if not seen.cluster and (platform.cluster_state or "RUNNING").upper() != "RUNNING":
        yield _cause(
            "likely",
            "its Kubernetes cluster is not running",
            f"cluster_state is {platform.cluster_state}",
            "look at the cluster in the Kubernetes service",
        )
    for pool in seen.pools or ():
        for reason in pool.unsuitable(Needs()):
            yield _cause(
                "possible",
                f"node pool {pool.name} is not at rest",
                str(reason),
                f'find_options(kind="node_pools", cluster_id="{platform.cluster_id}")',
            )


def _of_the_nodes(seen: _Seen) -> Iterator[Cause]:
    if seen.nodes is None:
        return
    call = f'list_nodes(cluster_id="{seen.platform.cluster_id}")'
    if not seen.nodes:
        yield _cause("likely", "the cluster has no nodes", "the list of nodes is empty", call)
    bad = [node for node in seen.nodes if node.node_status and node.node_status.lower() not in _NODE_IS_FINE]
    if bad:
        names = ", ".join(f"{node.name} ({node.node_status})" for node in bad[:5])
        yield _cause("likely", f"{len(bad)} of {len(seen.nodes)} nodes are not ready", names, call)
    versions = {node.kubernetes_version for node in seen.nodes if node.kubernetes_version}
    if len(versions) > 1:
        yield _cause("possible", "the nodes run different Kubernetes versions", ", ".join(sorted(versions)), call)


def _of_its_state(seen: _Seen, state: str, now_s: float) -> Iterator[Cause]:
    platform = seen.platform
    since_s = _age_s(platform.modified_dt or platform.created_dt, now_s)
    if has_failed(state):
        yield _cause(
            "certain",
            "its installation or last change failed; the service tells no reason",
            f"release_state is {platform.release_state}",
            "mend the other causes, then delete_platform and create_platform again; vendor support has the reason",
        )
    elif state != DEPLOYED and since_s is not None and since_s > STUCK_S.get(state, STUCK_ANYWAY_S):
        yield _cause(
            "likely",
            f"it is stuck in {platform.release_state}",
            f"for {since_s / 60:.0f} minutes; twice the usual time has passed",
            "give the release_id to the vendor's support; a delete is refused while it is changing",
        )
    elif state != DEPLOYED:
        yield _cause(
            "certain",
            f"it is still {platform.release_state}",
            "not at rest" if since_s is None else f"for {since_s / 60:.0f} minutes, which is not unusual",
            "wait_for_platform",
        )
    elif platform.dashboard_state and platform.dashboard_state.upper() not in {"RUNNING", "ACTIVE", "DEPLOYED", "ON"}:
        yield _cause(
            "possible",
            "its dashboard may be down",
            f"dashboard_state is {platform.dashboard_state} (its values are not documented)",
            "open the dashboard's address; look at the nodes",
        )
    if state == DEPLOYED and not platform.ai_ml_ops_platform_endpoint_ip_address:
        yield _cause(
            "likely", "it has no address, so nobody reaches the dashboard", "no endpoint IP", "update_platform"
        )


def _summary(platform: AiMlOpsPlatformDetailResponse, causes: list[Cause]) -> str:
    head = f"Platform {platform.release_name!r} is {platform.release_state}"
    if not causes:
        return f"{head}. Nothing wrong was found from outside; look into the dashboard and the cluster's workloads."
    return f"{head}. {causes[0].likelihood.capitalize()}: {causes[0].what}."


def _cause(likelihood: Likelihood, what: str, seen: str, do: str) -> Cause:
    return Cause(likelihood=likelihood, what=what, seen=seen, do=do)


def _is_default(storage_class: StorageClassResponse) -> bool:
    return (storage_class.default_class or "").lower() in {"true", "y", "yes", "default"}


def _age_s(iso: str, now_s: float) -> float | None:
    try:
        then = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return now_s - (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
