"""What the form of a create request shows by itself. All of it is inferred (facts 8), so none of it stops a create."""

import re
from collections.abc import Iterable, Iterator

from aimlops_tools.models.neighbours import same_version
from aimlops_tools.models.platforms import CreatePlatform

from aimlops_server.guard.plan import Check, Finding, quoted
from aimlops_server.wording import Wording

OPEN_TO_ALL = frozenset({"0.0.0.0/0", "::/0"})
# The Kubernetes service prints this rule for its own names; for platforms it is inferred (facts 8).
_NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

# A name, what is wrong, and what mends it.
Problem = tuple[str, str, str]


def shape_checks(create: CreatePlatform, api_version: str, say: Wording) -> Iterator[Check]:
    """A failure for each thing that the service will probably refuse, or that a person would want to know."""
    for name, detail, fix in (*_whole(create, say), *_engine(create, say), *_pool(create, api_version, say)):
        yield Check(name, Finding.FAIL, detail, inferred=True, fix=fix)


def _whole(create: CreatePlatform, say: Wording) -> Iterable[Problem]:
    platform = create.ai_ml_ops_platform_create_request
    engine, pool = create.kubernetes_engine_create_request, create.node_pool_create_request
    if platform.cluster_id and (engine or pool):
        yield (
            "request",
            say("cluster_id and a new cluster's two objects are alternatives"),
            say("leave out cluster_id, or both kubernetes_engine_create_request and node_pool_create_request"),
        )
    if not platform.cluster_id and not (engine and pool):
        missing = "kubernetes_engine_create_request" if pool else "node_pool_create_request"
        if not engine and not pool:
            missing = "cluster_id"
        yield (
            "request",
            say("a platform needs a cluster: cluster_id, or the two objects of a new one"),
            say("add {missing}; find_options lists the values", missing=missing),
        )
    if not _NAME.fullmatch(platform.release_name) or not 3 <= len(platform.release_name) <= 30:
        yield (
            "name",
            say("{name} is not 3 to 30 lower-case letters, digits and hyphens", name=quoted(platform.release_name)),
            say("choose another release_name"),
        )
    if not platform.initial_user_email:
        yield (
            "email",
            say("nobody can log in without the first user's email"),
            say("ask the user for initial_user_email"),
        )
    elif not _EMAIL.fullmatch(platform.initial_user_email):
        detail = say("{email} is not an email address", email=quoted(platform.initial_user_email))
        yield "email", detail, say("ask the user for initial_user_email")


def _engine(create: CreatePlatform, say: Wording) -> Iterable[Problem]:
    engine, pool = create.kubernetes_engine_create_request, create.node_pool_create_request
    if engine is None:
        return
    if engine.public_acl_ip_address in OPEN_TO_ALL:
        detail = say("{range} opens the cluster's API to everyone", range=engine.public_acl_ip_address)
        yield "public access", detail, say("set public_acl_ip_address to the users' own range")
    if not engine.security_group_id_list:
        yield "security group", say("at least one is needed"), 'find_options(kind="security_groups")'
    if pool and pool.kubernetes_version and not same_version(pool.kubernetes_version, engine.k8s_version):
        yield (
            "Kubernetes version",
            say(
                "kubernetes_version {one} and k8s_version {other} differ",
                one=pool.kubernetes_version,
                other=engine.k8s_version,
            ),
            say("give both the same"),
        )
    if not re.fullmatch(r"v\d\.\d{1,2}\.\d{1,2}", engine.k8s_version):
        yield (
            "Kubernetes version",
            say("{version} is not of the form v1.33.5", version=quoted(engine.k8s_version)),
            'find_options(kind="kubernetes_versions")',
        )


def _pool(create: CreatePlatform, api_version: str, say: Wording) -> Iterable[Problem]:
    pool = create.node_pool_create_request
    if pool is None:
        return
    low, high, wanted = pool.min_node_count, pool.max_node_count, pool.desired_node_count
    if pool.is_auto_scale and (low is None or high is None):
        yield "node count", say("is_auto_scale needs both limits"), say("add min_node_count and max_node_count")
    if not pool.is_auto_scale and wanted is None:
        yield "node count", say("it is needed without is_auto_scale"), say("add desired_node_count")
    if not pool.is_auto_scale and (low is not None or high is not None):
        detail = say("min_node_count and max_node_count mean nothing without is_auto_scale")
        yield "node count", detail, say("set is_auto_scale, or leave them out")
    if low is not None and high is not None and low > high:
        yield "node count", say("min_node_count is larger than max_node_count"), say("swap them")
    if wanted is not None and ((low is not None and wanted < low) or (high is not None and wanted > high)):
        detail = say("desired_node_count is outside min_node_count and max_node_count")
        yield "node count", detail, say("set it between them")
    if min(count for count in (wanted, low, high, 1) if count is not None) < 1:
        yield "node count", say("a count below 1 makes no nodes"), say("set it to 1 or more")
    if not _NAME.fullmatch(pool.name) or not 3 <= len(pool.name) <= 20:
        yield (
            "node pool name",
            say("{name} is not 3 to 20 lower-case letters, digits and hyphens", name=quoted(pool.name)),
            say("choose another name"),
        )
    if pool.cluster_id:
        yield (
            "request",
            say("a new cluster's id cannot be known yet"),
            say("leave out node_pool_create_request.cluster_id"),
        )
    if pool.zone is None:
        fix = say("add zone, e.g. kr-west1-a") if api_version == "1.2" else say("it needs SCP_API_VERSION=1.2")
        yield "zone", say("a node pool without zone failed on accounts with a single zone"), fix
