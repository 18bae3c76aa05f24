"""What looks wrong in a create request. All of it is inferred (facts 8), so it is advice and never stops a create."""

from collections.abc import Iterator

from aimlops_tools.models.platforms import CreatePlatform, KubernetesEngineCreateRequest, NodePoolCreateRequest

from aimlops_server.guard.plan import Check, Finding

OPEN_TO_ALL = frozenset({"0.0.0.0/0", "::/0"})


def shape_advice(create: CreatePlatform, api_version: str) -> tuple[Check, ...]:
    """One line for each thing that the service is likely to refuse, or that a person would want to know."""
    return tuple(Check("request", Finding.ADVICE, detail) for detail in _advice(create, api_version))


def _advice(create: CreatePlatform, api_version: str) -> Iterator[str]:
    platform = create.ai_ml_ops_platform_create_request
    engine, pool = create.kubernetes_engine_create_request, create.node_pool_create_request
    if platform.cluster_id and (engine or pool):
        yield "cluster_id and a new cluster's two objects are alternatives: give one or the other"
    if not platform.cluster_id and not (engine and pool):
        yield (
            "without cluster_id both kubernetes_engine_create_request and node_pool_create_request are needed for a "
            "new cluster"
        )
    if not platform.initial_user_email:
        yield "the first user's email is optional in the API, but nobody can log in without it"
    if engine:
        yield from _engine_advice(engine, pool)
    if pool:
        yield from _pool_advice(pool, api_version)


def _engine_advice(engine: KubernetesEngineCreateRequest, pool: NodePoolCreateRequest | None) -> Iterator[str]:
    if engine.public_acl_ip_address in OPEN_TO_ALL:
        yield f"public_acl_ip_address {engine.public_acl_ip_address} opens the cluster's API to everyone"
    if not engine.security_group_id_list:
        yield "security_group_id_list is empty: at least one is needed"
    if pool and pool.kubernetes_version and pool.kubernetes_version != engine.k8s_version:
        yield f"kubernetes_version {pool.kubernetes_version} and k8s_version {engine.k8s_version} differ"


def _pool_advice(pool: NodePoolCreateRequest, api_version: str) -> Iterator[str]:
    if pool.is_auto_scale and (pool.min_node_count is None or pool.max_node_count is None):
        yield "is_auto_scale needs min_node_count and max_node_count"
    if not pool.is_auto_scale and pool.desired_node_count is None:
        yield "desired_node_count is needed without is_auto_scale"
    low, high = pool.min_node_count, pool.max_node_count
    if low is not None and high is not None and low > high:
        yield "min_node_count is larger than max_node_count"
    if pool.cluster_id:
        yield "node_pool_create_request.cluster_id cannot be known for a new cluster: leave it out"
    if pool.zone is None:
        how = "give it" if api_version == "1.2" else "it needs SCP_API_VERSION=1.2"
        yield f"no zone: a node pool without one failed on accounts with a single zone; {how}"
