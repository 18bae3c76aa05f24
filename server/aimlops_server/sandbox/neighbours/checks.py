"""What a new cluster's request must find in the neighbouring services.

All of it is inferred: no create with a new cluster was ever recorded. What the request names must exist, fit together
and be ready, since a cluster cannot be built otherwise.
"""

from collections.abc import Iterable
from typing import cast

from pydantic import JsonValue

from aimlops_server.sandbox.forms import JsonObject, validation_error
from aimlops_server.sandbox.neighbours.world import IdentifiedT, ServerType, by_id
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.replies import Refusal, state_refusal
from aimlops_server.sandbox.world import World


def check_new_cluster(engine: JsonObject, pool: JsonObject, world: World, profile: Profile) -> ServerType:
    """The nodes' server type.

    Raises:
        Refusal: 404 for an unknown id, 400 for what does not fit, the profile's own status for what is not ready.
    """
    _check_network(engine, world, profile)
    _check_storage(engine, world, profile)
    _check_version(engine, pool, world)
    server_type = _check_nodes(engine, pool, world)
    if any(cluster.name == engine["kubernetes_engine_name"] for cluster in world.clusters()):
        text = f"Cluster name ({engine['kubernetes_engine_name']}) already exists."
        raise state_refusal(profile.duplicate_status, text)
    return server_type


def _check_network(engine: JsonObject, world: World, profile: Profile) -> None:
    there = world.neighbours
    vpc = _known("VPC", there.vpcs, engine["vpc_id"])
    subnet = _known("Subnet", there.subnets, engine["subnet_id"])
    group_ids = cast("list[JsonValue]", engine["security_group_id_list"])
    groups = [_known("Security group", there.security_groups, group_id) for group_id in group_ids]
    balancers = [_known("Load balancer", there.load_balancers, engine["lb_id"])] if "lb_id" in engine else []
    if not groups:
        raise validation_error("security_group_id_list should have at least 1 item")
    if subnet.vpc_id != vpc.id:
        raise validation_error(f"Subnet ({subnet.id}) does not belong to VPC ({vpc.id}).")
    if any(balancer.vpc_id != vpc.id for balancer in balancers):
        raise validation_error(f"Load balancer ({engine['lb_id']}) does not belong to VPC ({vpc.id}).")
    needed = [("VPC", vpc), ("Subnet", subnet), *(("Security group", group) for group in groups)]
    for kind, thing in needed:
        if thing.state != "ACTIVE":
            raise state_refusal(profile.busy_status, f"{kind} ({thing.id}) is not ACTIVE.")


def _check_storage(engine: JsonObject, world: World, profile: Profile) -> None:
    for name, protocol in (("volume_id", "NFS"), ("cifs_volume_id", "CIFS")):
        if name not in engine:
            continue
        volume = _known("Volume", world.neighbours.file_volumes, engine[name])
        if volume.protocol != protocol:
            raise validation_error(f"{name}: the volume's protocol should be {protocol}")
        if volume.state != "available":
            raise state_refusal(profile.busy_status, f"Volume ({volume.id}) is not available.")


def _check_version(engine: JsonObject, pool: JsonObject, world: World) -> None:
    offered = [v.kubernetes_version for v in world.neighbours.kubernetes_versions if v.end_s > world.now_s()]
    _check_choice("k8s_version", engine["k8s_version"], offered)
    if pool.get("kubernetes_version", engine["k8s_version"]) != engine["k8s_version"]:
        raise validation_error("kubernetes_version should be the cluster's k8s_version")


def _check_nodes(engine: JsonObject, pool: JsonObject, world: World) -> ServerType:
    there = world.neighbours
    server_type = _known("Server type", there.server_types, pool["server_type_id"])
    if pool["keypair_name"] not in {keypair.name for keypair in there.keypairs}:
        raise Refusal(404, "NotFound", f"Keypair ({pool['keypair_name']}) does not exist.")
    # The disks with IOPS and throughput of choice need two fields that this API does not have.
    offered = [volume_type.name for volume_type in there.volume_types if volume_type.name != "SSD_Provisioned"]
    _check_choice("volume_type_name", pool["volume_type_name"], offered)
    wanted = (engine["k8s_version"], pool["image_os"], pool["image_os_version"], server_type.has_gpus)
    images = {(i.kubernetes_version, i.os, i.os_version, i.for_gpus): i for i in there.node_images}
    image = images.get(cast("tuple[str, str, str, bool]", wanted))
    if image is None:
        raise validation_error(f"image_os {pool['image_os']} {pool['image_os_version']} is not supported")
    if int(str(pool["volume_size"])) < image.min_volume_gb:
        raise validation_error(f"volume_size should be greater than or equal to {image.min_volume_gb}")
    return server_type


def _check_choice(name: str, value: JsonValue, offered: list[str]) -> None:
    if value not in offered:
        raise validation_error(f"{name} [{'|'.join(offered)}]")


def _known(kind: str, things: Iterable[IdentifiedT], wanted: JsonValue) -> IdentifiedT:
    found = by_id(things, wanted)
    if found is None:
        raise Refusal(404, "NotFound", f"{kind} ({wanted}) does not exist.")
    return found
