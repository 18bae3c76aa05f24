"""What the changing operations check and do. An answer comes at once; the work then takes the world's time."""

import re
from dataclasses import dataclass, replace
from typing import cast

from pydantic import JsonValue

from aimlops_server.sandbox.forms import JsonObject, validation_error
from aimlops_server.sandbox.neighbours.checks import check_new_cluster
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.reads import is_installed, known_cluster, known_platform
from aimlops_server.sandbox.replies import Ids, Refusal, state_refusal
from aimlops_server.sandbox.seed import PROJECT_ID, USER_ID
from aimlops_server.sandbox.world import (
    DELETE_S,
    DEPLOYED,
    INSTALL_S,
    NEW_CLUSTER_S,
    RUNNING,
    UPDATE_S,
    ChangeKind,
    Cluster,
    Endpoint,
    Image,
    Network,
    NodePool,
    Platform,
    Transition,
    World,
    make_nodes,
    make_storage_classes,
)

# Inferred from what a DNS record needs; the schema requires nothing.
_RECORD_NEEDS = {
    "CREATE": ("dns_id", "record_name", "domain_service_name", "ip"),
    "UPDATE": ("dns_id", "record_id", "record_name", "domain_service_name", "ip"),
    "DELETE": ("dns_id", "record_id"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A well-formed, permitted change, and what it acts on."""

    arguments: JsonObject
    world: World
    profile: Profile
    ids: Ids
    fails_later: bool

    def begin(self, kind: ChangeKind, takes_s: float) -> Transition:
        return Transition(kind, self.world.now_s(), takes_s, fails=self.fails_later)

    def busy(self, happened: str) -> Refusal:
        """The refusal of a change whose object is in the wrong state."""
        return state_refusal(self.profile.busy_status, happened)


def accepted(resource_id: str, ids: Ids) -> JsonValue:
    """The answer to an accepted create or update."""
    return {"project_id": PROJECT_ID, "request_id": ids.hex32(), "resource_id": resource_id}


def check_cluster_id(cluster_id: JsonValue) -> None:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", str(cluster_id)):
        raise Refusal(400, "BadRequest", "Cluster ID should be 32-letter UUID format")


def check_create_form(arguments: JsonObject) -> None:
    """One of the two forms: on an existing cluster, or with a new cluster and its node pool."""
    create = _part(arguments, "ai_ml_ops_platform_create_request")
    new_cluster = [
        name for name in ("kubernetes_engine_create_request", "node_pool_create_request") if name in arguments
    ]
    if "cluster_id" in create:
        check_cluster_id(create["cluster_id"])
        if new_cluster:
            raise validation_error("cluster_id and a new cluster exclude each other")
    elif len(new_cluster) != 2:
        raise validation_error("Field required")
    else:
        _check_pool_form(_part(arguments, "node_pool_create_request"))


def _check_pool_form(pool: JsonObject) -> None:
    # The Kubernetes service asks for these counts; that they are checked here too is inferred.
    needed = ("min_node_count", "max_node_count") if pool.get("is_auto_scale") else ("desired_node_count",)
    missing = [name for name in needed if name not in pool]
    if missing:
        raise validation_error(*("Field required" for _ in missing))
    if pool.get("is_auto_scale") and _number(pool["min_node_count"]) > _number(pool["max_node_count"]):
        raise validation_error("min_node_count should be less than or equal to max_node_count")


def check_update_form(arguments: JsonObject) -> None:
    """A record's change names what it needs; no change at all is well-formed too."""
    service = _part(arguments, "ai_ml_ops_platform_domain_service")
    if not service:
        return
    if "operation_type" not in service:
        raise validation_error("Field required")
    missing = [name for name in _RECORD_NEEDS[str(service["operation_type"])] if name not in service]
    if missing:
        raise validation_error(*("Field required" for _ in missing))


def create_platform(change: Change) -> str:
    """Start an installation, with a new cluster before it when the request has one. Returns the new release id."""
    world, profile = change.world, change.profile
    create = _part(change.arguments, "ai_ml_ops_platform_create_request")
    builds_cluster = "cluster_id" not in create
    cluster = _planned_cluster(change) if builds_cluster else known_cluster(world, create["cluster_id"])
    image = _known_image(world, str(create["image_id"]))
    if image.product_type != create["ai_ml_ops_platform_type"]:
        raise validation_error("image_id does not match ai_ml_ops_platform_type")
    if any(platform.release_name == create["release_name"] for platform in world.platforms()):
        raise state_refusal(profile.duplicate_status, f"Release name ({create['release_name']}) already exists.")
    if not builds_cluster and cluster.state(world.now_s()) != RUNNING:
        raise change.busy(f"Cluster ({cluster.cluster_id}) is not RUNNING.")
    if is_installed(world, cluster):
        raise change.busy(f"AI&MLOps Platform is already installed on cluster ({cluster.cluster_id}).")
    if len(world.platforms()) >= profile.platform_quota:
        raise Refusal(403, "aimlops-platform.quota.value.exceeded", "The quota is exceeded.")
    if builds_cluster and len(world.clusters()) >= profile.cluster_quota:
        raise Refusal(403, "ske.quota.value.exceeded", "The quota is exceeded.")
    pool = _part(change.arguments, "node_pool_create_request")
    if profile.zone_required and builds_cluster and "zone" not in pool:
        raise Refusal(500, "ContactAdminForAssistance", "An error occurred. Contact the administrator.")
    takes_s = NEW_CLUSTER_S + INSTALL_S if builds_cluster else INSTALL_S
    # Ours: too small a cluster is not refused; the installation fails at its end.
    fails = change.fails_later or not cluster.is_enough_for(image.product_type)
    platform = Platform(
        release_id=change.ids.hex32(),
        release_name=str(create["release_name"]),
        ai_ml_ops_platform_type=image.product_type,
        version=image.version,
        cluster_id=cluster.cluster_id,
        image_id=image.image_id,
        image_name=image.image_name,
        initial_user_email=str(create.get("initial_user_email", "")),
        created_by=USER_ID,
        created_s=world.now_s(),
        transition=Transition(ChangeKind.CREATE, world.now_s(), takes_s, fails),
        # What the service chooses when the request leaves the type out is not documented.
        endpoint=Endpoint(str(create.get("ai_ml_ops_platform_endpoint_type", "Private")), "192.168.3.197"),
        storage_class_name=cast("str | None", create.get("storage_class_name")),
    )
    world.put_cluster(cluster)
    world.put(platform)
    return platform.release_id


def _known_image(world: World, image_id: str) -> Image:
    image = world.image(image_id)
    if image is None:
        raise Refusal(404, "NotFound", f"Image ({image_id}) does not exist.")
    return image


def _planned_cluster(change: Change) -> Cluster:
    """The cluster to be built, which is not in the world yet."""
    engine = _part(change.arguments, "kubernetes_engine_create_request")
    pool = _part(change.arguments, "node_pool_create_request")
    server_type = check_new_cluster(engine, pool, change.world, change.profile)
    scales = bool(pool.get("is_auto_scale"))
    count = max(0, min(_number(pool["min_node_count" if scales else "desired_node_count"]), 1000))
    name, pool_name = str(engine["kubernetes_engine_name"]), str(pool["name"])
    return Cluster(
        cluster_id=change.ids.hex32(),
        name=name,
        kubernetes_version=str(engine["k8s_version"]),
        network=Network(
            vpc_id=str(engine["vpc_id"]),
            subnet_id=str(engine["subnet_id"]),
            security_group_ids=tuple(map(str, cast("list[JsonValue]", engine["security_group_id_list"]))),
            volume_id=str(engine["volume_id"]),
            # That none is made without it is inferred.
            has_public_endpoint="public_acl_ip_address" in engine,
        ),
        pools=(
            NodePool(
                name=pool_name,
                server_type_id=server_type.id,
                image_os=str(pool["image_os"]),
                image_os_version=str(pool["image_os_version"]),
                nodes=make_nodes(name, pool_name, server_type, count),
                is_auto_scale=scales,
            ),
        ),
        storage_classes=make_storage_classes(name),
        transition=Transition(ChangeKind.CREATE, change.world.now_s(), NEW_CLUSTER_S),
    )


def update_platform(change: Change) -> str:
    """Start an update; a request without any change is accepted and starts none."""
    now_s = change.world.now_s()
    platform = known_platform(change.world, change.arguments["release_id"])
    service = _part(change.arguments, "ai_ml_ops_platform_domain_service")
    endpoint = platform.endpoint_at(now_s) or platform.endpoint
    record = endpoint.domain_service
    known_id = record["record_id"] if record else None
    if service.get("operation_type") in {"UPDATE", "DELETE"} and known_id != service["record_id"]:
        raise Refusal(404, "NotFound", f"Record ({service['record_id']}) does not exist.")
    if platform.state(now_s) != DEPLOYED:
        raise change.busy(f"Kubeflow ({platform.release_id}) is {platform.state(now_s)}.")
    if service.get("operation_type") == "CREATE" and record:
        raise change.busy(f"Kubeflow ({platform.release_id}) already has a domain service.")
    new_type = change.arguments.get("ai_ml_ops_platform_endpoint_type")
    if new_type is None and not service:
        return platform.release_id
    updated = Endpoint(
        type=endpoint.type if new_type is None else str(new_type),
        ip_address=endpoint.ip_address,
        domain_service=_record_after(service, change.ids) if service else record,
    )
    change.world.put(
        replace(
            platform,
            transition=change.begin(ChangeKind.UPDATE, UPDATE_S),
            endpoint=updated,
            former_endpoint=endpoint,
            modified_by=USER_ID,
            modified_s=now_s,
        )
    )
    return platform.release_id


def _record_after(service: JsonObject, ids: Ids) -> JsonObject | None:
    """The record as the details show it, under the request's names: the reference shows no filled one."""
    if service["operation_type"] == "DELETE":
        return None
    shown = {name: service[name] for name in ("dns_id", "domain_service_name", "ip", "record_name")}
    return shown | {"record_id": service.get("record_id") or ids.uuid()}


def delete_platform(change: Change) -> str:
    """Start a deletion; with_k8s takes the cluster and every other release on it along, unasked."""
    world = change.world
    now_s = world.now_s()
    platform = known_platform(world, change.arguments["release_id"])
    if not platform.transition.is_over(now_s):
        raise change.busy(f"Kubeflow ({platform.release_id}) is {platform.state(now_s)}.")
    cluster = world.cluster(platform.cluster_id) if change.arguments["with_k8s"] else None
    # The other releases' states are not asked for: no guard is documented.
    doomed = world.platforms_on(platform.cluster_id) if cluster is not None else (platform,)
    for each in doomed:
        endpoint = each.endpoint_at(now_s) or each.endpoint
        transition = change.begin(ChangeKind.DELETE, DELETE_S)
        world.put(replace(each, transition=transition, endpoint=endpoint, former_endpoint=None))
    if cluster is not None:
        world.put_cluster(replace(cluster, transition=change.begin(ChangeKind.DELETE, DELETE_S)))
    return platform.release_id


def _part(arguments: JsonObject, name: str) -> JsonObject:
    return cast("JsonObject", arguments.get(name, {}))


def _number(value: JsonValue) -> int:
    return cast("int", value)
