"""How the state reads on the wire: each object with the reference's fields, some optional ones absent or null.

Knows neither requests nor rules. An initial password is nowhere: the state does not keep it.
"""

from pydantic import JsonValue

from aimlops_server.sandbox.replies import iso
from aimlops_server.sandbox.seed import PROJECT_ID, PROJECT_NAME
from aimlops_server.sandbox.world import DEPLOYED, Cluster, Image, Node, Platform, StorageClass, World

JsonObject = dict[str, JsonValue]

_DAY_S = 24 * 60 * 60


def listed_platform(world: World, platform: Platform) -> JsonObject:
    """An item of the list."""
    cluster = world.cluster(platform.cluster_id)
    return {
        "cluster_id": platform.cluster_id,
        "cluster_name": cluster.name if cluster else None,
        "created_by": platform.created_by,
        "created_dt": iso(platform.created_s),
        "kubeflow_type": platform.ai_ml_ops_platform_type,
        "release_id": platform.release_id,
        "release_name": platform.release_name,
        "status": world.state(platform),
        "version": platform.version,
    } | _modified(platform)


def platform_details(world: World, platform: Platform) -> JsonObject:
    """The details. The endpoint's address and port are absent until there is one."""
    now_s = world.now_s()
    cluster = world.cluster(platform.cluster_id)
    state = world.state(platform)
    endpoint = platform.endpoint_at(now_s)
    details: JsonObject = {
        # Absent objects are written as an empty text in the reference.
        "ai_ml_ops_platform_domain_service": (endpoint.domain_service if endpoint else None) or "",
        "ai_ml_ops_platform_endpoint_type": (endpoint or platform.endpoint).type,
        "ai_ml_ops_platform_type": platform.ai_ml_ops_platform_type,
        "cluster_id": platform.cluster_id,
        "cluster_name": cluster.name if cluster else None,
        "cluster_state": cluster.state(now_s) if cluster else None,
        "created_by": platform.created_by,
        "created_dt": iso(platform.created_s),
        # Our words: the reference requires the field and shows it empty.
        "dashboard_state": "RUNNING" if state == DEPLOYED else "NOT_READY",
        "image_id": platform.image_id,
        "image_name": platform.image_name,
        "initial_user_email": platform.initial_user_email,
        "project_id": PROJECT_ID,
        "project_name": PROJECT_NAME,
        "release_id": platform.release_id,
        "release_name": platform.release_name,
        "release_state": state,
        "storage_class_name": platform.storage_class_name,
        "version": platform.version,
    }
    if endpoint:
        details["ai_ml_ops_platform_endpoint_ip_address"] = endpoint.ip_address
        details["ai_ml_ops_platform_endpoint_port"] = "443"
    return details | _modified(platform)


def _modified(platform: Platform) -> JsonObject:
    if platform.modified_s is None:
        return {}
    return {"modified_by": platform.modified_by, "modified_dt": iso(platform.modified_s)}


def listed_image(image: Image) -> JsonObject:
    """An item of the catalogue."""
    return {
        "base_image": image.base_image,
        "category": "APP",
        "created_by": "SYSTEM",
        "created_dt": iso(image.created_s),
        "description": image.description,
        "icon_file": image.icon_file,
        "icon_file_name": image.icon_file_name,
        "image_attr": "",
        "image_id": image.image_id,
        "image_name": image.image_name,
        "modified_by": "SYSTEM",
        "modified_dt": iso(image.created_s),
        "os_type": None,
        "product_type": image.product_type if image.shows_product_type else None,
        "project_id": None,
    }


def listed_node(world: World, cluster: Cluster, node: Node) -> JsonObject:
    """A machine. The reference types the pod count as text and the GPU count as a number."""
    capacities: list[JsonValue] = [
        {"name": "cpu", "value": str(node.vcpus)},
        {"name": "memory", "value": f"{node.memory_gb}Gi"},
        {"name": "nvidia.com/gpu", "value": str(node.gpus)},
    ]
    return {
        "age": _age(world, cluster),
        "cluster_id": cluster.cluster_id,
        "container_version": "containerd://1.7.27",
        "created_at": iso(cluster.transition.started_s),
        "external_ip_address": None,
        "gpu_name": node.gpu_name,
        "ip": node.ip,
        "kernel_version": "5.15.0-139-generic",
        "kubernetes_version": cluster.kubernetes_version,
        "mngc_node": False,
        "mngc_node_type": None,
        "name": node.name,
        "node_capacities": capacities,
        "node_status": "Ready",
        "number_of_allocated_pods": "42",
        "number_of_gpu": node.gpus,
        "os_image": "Ubuntu 22.04.5 LTS",
        "uid": node.uid,
    }


def listed_storage_class(world: World, cluster: Cluster, storage_class: StorageClass) -> JsonObject:
    """A storage class. The reference types its two booleans as text."""
    return {
        "age": _age(world, cluster),
        "allow_volume_expansion": "true",
        "cluster_id": cluster.cluster_id,
        "created_at": iso(cluster.transition.started_s),
        "default_class": "true" if storage_class.is_default else "false",
        "name": storage_class.name,
        "provisioner": storage_class.provisioner,
        "pv_reclaim_policy": "Delete",
        "uid": storage_class.uid,
        "volume_binding_mode": "Immediate",
    }


def _age(world: World, cluster: Cluster) -> str:
    return f"{int(max(0.0, world.now_s() - cluster.transition.started_s) // _DAY_S)}d"
