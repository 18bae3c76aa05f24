"""How the things of the neighbouring services read on the wire. Some services write their numbers as text."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import JsonValue

from aimlops_server.sandbox.neighbours.seed import CLUSTER_QUOTA_ITEM, PLATFORM_QUOTA_ITEM
from aimlops_server.sandbox.neighbours.world import (
    FileVolume,
    HostedZone,
    KubernetesVersion,
    NodeImage,
    SecurityGroup,
    Subnet,
    Vpc,
    by_id,
)
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.replies import iso
from aimlops_server.sandbox.world import ChangeKind, Cluster, NodePool, World, derived_uuid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JsonObject = dict[str, JsonValue]


def fields(*things: "DataclassInstance") -> list[JsonObject]:
    """Things whose fields are those on the wire."""
    return [_as_json(asdict(thing)) for thing in things]


def _as_json(values: JsonObject) -> JsonObject:
    return {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}


def listed_cluster(world: World, cluster: Cluster) -> JsonObject:
    """An item of the clusters' list."""
    return {
        "created_at": iso(cluster.transition.started_s),
        "id": cluster.cluster_id,
        "kubernetes_version": cluster.kubernetes_version,
        "name": cluster.name,
        "node_count": str(len(cluster.nodes)),
        "status": cluster.state(world.now_s()),
        "subnet_id": cluster.network.subnet_id,
    }


def shown_cluster(world: World, cluster: Cluster) -> JsonObject:
    """One cluster, with its network."""
    network, there = cluster.network, world.neighbours
    public = f"https://{cluster.cluster_id}.ske.sandbox.invalid:6443" if network.has_public_endpoint else None
    groups: list[JsonValue] = [_reference(there.security_groups, each) for each in network.security_group_ids]
    return {
        "created_at": iso(cluster.transition.started_s),
        "id": cluster.cluster_id,
        "kubernetes_version": cluster.kubernetes_version,
        "name": cluster.name,
        "node_count": str(len(cluster.nodes)),
        "private_endpoint_url": f"https://{cluster.cluster_id}.private.ske.sandbox.invalid:6443",
        "public_endpoint_url": public,
        "security_group_list": groups,
        "status": cluster.state(world.now_s()),
        "subnet": _reference(there.subnets, network.subnet_id),
        "volume": _reference(there.file_volumes, network.volume_id),
        "vpc": _reference(there.vpcs, network.vpc_id),
    }


def _reference(things: Iterable[Vpc | Subnet | SecurityGroup | FileVolume], wanted: str) -> JsonObject:
    thing = by_id(things, wanted)
    return {"id": wanted, "name": thing.name if thing else None}


def listed_node_pool(world: World, cluster: Cluster, pool: NodePool) -> JsonObject:
    """An item of a cluster's node pools. Their state is spelt unlike a cluster's."""
    state = cluster.state(world.now_s())
    count = str(len(pool.nodes))
    server_type = by_id(world.neighbours.server_types, pool.server_type_id)
    return {
        "current_node_count": "0" if state == ChangeKind.CREATE else count,
        "desired_node_count": count,
        "id": derived_uuid("node pool", cluster.cluster_id, pool.name),
        "image": {"os": pool.image_os, "os_version": pool.image_os_version},
        "is_auto_scale": "true" if pool.is_auto_scale else "false",
        "kubernetes_version": cluster.kubernetes_version,
        "name": pool.name,
        "server_type": {
            "description": server_type.description if server_type else None,
            "id": pool.server_type_id,
        },
        "status": state.capitalize(),
    }


def listed_kubernetes_version(version: KubernetesVersion) -> JsonObject:
    """An item of the Kubernetes versions."""
    return {
        "description": version.description,
        "end_dt": iso(version.end_s),
        "kubernetes_version": version.kubernetes_version,
    }


def listed_node_image(image: NodeImage) -> JsonObject:
    """An item of the node images."""
    return {
        "end_of_support": image.end_of_support,
        "id": image.id,
        "kubernetes_version": image.kubernetes_version,
        "os": image.os,
        "os_version": image.os_version,
        "volume": {"size": image.min_volume_gb},
    }


def listed_hosted_zone(zone: HostedZone) -> JsonObject:
    """An item of the zones."""
    return {
        "hosted_zone_type": zone.hosted_zone_type,
        "id": zone.id,
        "name": zone.name,
        "status": zone.status,
    }


def records_of_platforms(world: World, zone: HostedZone) -> list[JsonObject]:
    """The records that updates of platforms made in this zone."""
    endpoints = [platform.endpoint_at(world.now_s()) for platform in world.platforms()]
    made = [endpoint.domain_service for endpoint in endpoints if endpoint and endpoint.domain_service]
    return [
        {
            "id": record["record_id"],
            "name": record["domain_service_name"],
            "records": [record["ip"]],
            "status": "ACTIVE",
            "ttl": "300",
            "type": "A",
        }
        for record in made
        if record["dns_id"] == zone.id
    ]


def account_quotas(profile: Profile) -> list[JsonObject]:
    """The limits that the sandbox keeps to."""
    limits = (
        ("aimlops-platform", PLATFORM_QUOTA_ITEM, profile.platform_quota),
        ("ske", CLUSTER_QUOTA_ITEM, profile.cluster_quota),
    )
    return [{"applied_value": str(value), "quota_item": item, "service": service} for service, item, value in limits]
