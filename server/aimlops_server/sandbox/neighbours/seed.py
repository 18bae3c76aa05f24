"""What the account has in the neighbouring services when a sandbox starts: for each kind something that fits, and
something that does not.

Knows data only. Every id is fixed and has the vendor's format: most are 32 hex digits, those of file volumes, security
groups and records have hyphens, zones are opaque.
"""

from aimlops_server.sandbox.neighbours.world import (
    Cidr,
    FileVolume,
    HostedZone,
    Keypair,
    KubernetesVersion,
    LoadBalancer,
    Neighbours,
    NodeImage,
    Record,
    SecurityGroup,
    ServerType,
    Subnet,
    VolumeType,
    Vpc,
)
from aimlops_server.sandbox.world import derived_id, derived_uuid

MAIN_VPC_ID = derived_id("vpc", "main")
# ACTIVE as well: the place of everything that is "of another VPC".
OTHER_VPC_ID = derived_id("vpc", "other")
CREATING_VPC_ID = derived_id("vpc", "creating")

MAIN_SUBNET_ID = derived_id("subnet", "main")
MAIN_PUBLIC_SUBNET_ID = derived_id("subnet", "main public")
# In the main VPC, but in the state ERROR.
BROKEN_SUBNET_ID = derived_id("subnet", "broken")
# In the VPC that is being made.
CREATING_SUBNET_ID = derived_id("subnet", "creating")
OTHER_SUBNET_ID = derived_id("subnet", "other")
OTHER_PUBLIC_SUBNET_ID = derived_id("subnet", "other public")

SECURITY_GROUP_ID = derived_uuid("security group", "nodes")
SECOND_SECURITY_GROUP_ID = derived_uuid("security group", "admin")
CREATING_SECURITY_GROUP_ID = derived_uuid("security group", "creating")

NFS_VOLUME_ID = derived_uuid("file volume", "nfs")
SECOND_NFS_VOLUME_ID = derived_uuid("file volume", "second nfs")
CIFS_VOLUME_ID = derived_uuid("file volume", "cifs")
# NFS, but in the state creating.
CREATING_VOLUME_ID = derived_uuid("file volume", "creating")

KEYPAIR_NAME = "mlops-key"
SERVER_TYPE_ID = "s1v16m64"
GPU_SERVER_TYPE_ID = "g1v16m240"
VOLUME_TYPE_NAME = "SSD"

KUBERNETES_VERSION = "v1.33.5"
NEWEST_KUBERNETES_VERSION = "v1.34.3"
# Listed still, but past its end.
ENDED_KUBERNETES_VERSION = "v1.31.8"
MIN_VOLUME_GB = 104

LOAD_BALANCER_ID = derived_id("load balancer", "main")
OTHER_LOAD_BALANCER_ID = derived_id("load balancer", "other")

PRIVATE_ZONE_ID = f"Z{derived_id('zone', 'private')[:20]}"
PUBLIC_ZONE_ID = f"Z{derived_id('zone', 'public')[:20]}"
CREATING_ZONE_ID = f"Z{derived_id('zone', 'creating')[:20]}"
RECORD_ID = derived_uuid("record", "wiki")

# Ours: how the quota service names its items was not recorded.
PLATFORM_QUOTA_ITEM = "AIMLOPS_PLATFORM.COUNT"
CLUSTER_QUOTA_ITEM = "SKE_CLUSTER.COUNT"

_SIZES = ((2, 4), (2, 8), (4, 8), (4, 16), (8, 16), (8, 32), (16, 32), (16, 64))
SERVER_TYPES = {
    server_type.id: server_type
    for server_type in (
        *(ServerType(f"s1v{v}m{gb}", v, gb * 1024, f"Standard, {v} vCPU, {gb} GB") for v, gb in _SIZES),
        ServerType("s2v32m128", 32, 128 * 1024, "Standard, 32 vCPU, 128 GB"),
        *(ServerType(f"g1v{v}m{gb}", v, gb * 1024, f"GPU, {v} vCPU, {gb} GB") for v, gb in ((16, 240), (32, 480))),
    )
}

_DAY_S = 24 * 60 * 60
_ACTIVE = "ACTIVE"


def seeded_neighbours(now_s: float) -> Neighbours:
    """The neighbouring services as of now."""
    return Neighbours(
        vpcs=(
            Vpc(MAIN_VPC_ID, "mlops-vpc", _ACTIVE, (Cidr("192.168.0.0/16"),)),
            Vpc(OTHER_VPC_ID, "분석팀-vpc", _ACTIVE, (Cidr("10.10.0.0/16"), Cidr("10.20.0.0/16"))),
            Vpc(CREATING_VPC_ID, "new-vpc", "CREATING", (Cidr("172.16.0.0/16"),)),
        ),
        subnets=_subnets(),
        security_groups=(
            SecurityGroup(SECURITY_GROUP_ID, "mlops-nodes", _ACTIVE, "4"),
            SecurityGroup(SECOND_SECURITY_GROUP_ID, "관리자-접속", _ACTIVE, "2"),
            SecurityGroup(CREATING_SECURITY_GROUP_ID, "new-group", "CREATING", "0"),
        ),
        file_volumes=(
            FileVolume(NFS_VOLUME_ID, "mlops_nfs", "NFS", "HDD", "available", "none"),
            FileVolume(SECOND_NFS_VOLUME_ID, "공유_nfs", "NFS", "SSD", "available", "none"),
            FileVolume(CIFS_VOLUME_ID, "office_cifs", "CIFS", "HDD", "available", "none"),
            FileVolume(CREATING_VOLUME_ID, "new_nfs", "NFS", "HDD", "creating", "none"),
        ),
        keypairs=tuple(
            Keypair(name, "ssh", ":".join(derived_id("keypair", name)[i : i + 2] for i in range(0, 32, 2)))
            for name in (KEYPAIR_NAME, "admin-key", "분석팀-key")
        ),
        server_types=tuple(SERVER_TYPES.values()),
        volume_types=tuple(
            VolumeType(derived_uuid("volume type", name), name, description)
            for name, description in (
                ("HDD", "Hard disk"),
                ("HDD_KMS", "Hard disk, encrypted"),
                (VOLUME_TYPE_NAME, "Solid state disk"),
                ("SSD_KMS", "Solid state disk, encrypted"),
                ("SSD_Provisioned", "Solid state disk with IOPS and throughput of choice"),
            )
        ),
        kubernetes_versions=tuple(
            KubernetesVersion(version, now_s + days * _DAY_S, f"Kubernetes {version}")
            for version, days in (
                (ENDED_KUBERNETES_VERSION, -30),
                ("v1.32.8", 120),
                (KUBERNETES_VERSION, 300),
                (NEWEST_KUBERNETES_VERSION, 420),
            )
        ),
        node_images=_node_images(),
        load_balancers=(
            LoadBalancer(LOAD_BALANCER_ID, "mlops-lb", _ACTIVE, MAIN_VPC_ID, MAIN_SUBNET_ID, "192.168.1.10", "L4"),
            _load_balancer("web-lb", MAIN_VPC_ID, MAIN_PUBLIC_SUBNET_ID, "192.168.2.10", "L7"),
            LoadBalancer(
                OTHER_LOAD_BALANCER_ID, "분석팀-lb", _ACTIVE, OTHER_VPC_ID, OTHER_SUBNET_ID, "10.10.1.10", "L4"
            ),
        ),
        hosted_zones=_hosted_zones(),
    )


def _subnets() -> tuple[Subnet, ...]:
    return (
        Subnet(MAIN_SUBNET_ID, "mlops-nodes", "192.168.1.0/24", "PRIVATE", _ACTIVE, MAIN_VPC_ID, "mlops-vpc"),
        Subnet(MAIN_PUBLIC_SUBNET_ID, "mlops-web", "192.168.2.0/24", "PUBLIC", _ACTIVE, MAIN_VPC_ID, "mlops-vpc"),
        Subnet(BROKEN_SUBNET_ID, "mlops-old", "192.168.9.0/24", "PRIVATE", "ERROR", MAIN_VPC_ID, "mlops-vpc"),
        Subnet(OTHER_SUBNET_ID, "분석팀-내부", "10.10.1.0/24", "PRIVATE", _ACTIVE, OTHER_VPC_ID, "분석팀-vpc"),
        Subnet(OTHER_PUBLIC_SUBNET_ID, "분석팀-외부", "10.10.2.0/24", "PUBLIC", _ACTIVE, OTHER_VPC_ID, "분석팀-vpc"),
        Subnet(CREATING_SUBNET_ID, "new-nodes", "172.16.1.0/24", "PRIVATE", "CREATING", CREATING_VPC_ID, "new-vpc"),
    )


def _node_images() -> tuple[NodeImage, ...]:
    """Ubuntu is there for every version and for GPUs; of the others, each version has some."""
    with_ubuntu = [(version, "ubuntu", "22.04", gpus) for version in _ALL_VERSIONS for gpus in (False, True)]
    others = [
        (ENDED_KUBERNETES_VERSION, "rhel", "8.10", False),
        ("v1.32.8", "rhel", "8.10", False),
        (KUBERNETES_VERSION, "rhel", "8.10", False),
        (KUBERNETES_VERSION, "rhel", "9.4", False),
        (NEWEST_KUBERNETES_VERSION, "rhel", "9.4", False),
    ]
    return tuple(
        NodeImage(
            id=f"IMAGE-{derived_id('node image', version, os, os_version, str(gpus))[:20]}",
            os=os,
            os_version=os_version,
            kubernetes_version=version,
            end_of_support="true" if version == ENDED_KUBERNETES_VERSION else "false",
            for_gpus=gpus,
            min_volume_gb=MIN_VOLUME_GB,
        )
        for version, os, os_version, gpus in (*with_ubuntu, *others)
    )


_ALL_VERSIONS = (ENDED_KUBERNETES_VERSION, "v1.32.8", KUBERNETES_VERSION, NEWEST_KUBERNETES_VERSION)


def _load_balancer(name: str, vpc_id: str, subnet_id: str, service_ip: str, layer_type: str) -> LoadBalancer:
    return LoadBalancer(derived_id("load balancer", name), name, _ACTIVE, vpc_id, subnet_id, service_ip, layer_type)


def _hosted_zones() -> tuple[HostedZone, ...]:
    def record(name: str, address: str) -> Record:
        return Record(derived_uuid("record", name), name, "A", (address,), _ACTIVE)

    private = (
        Record(RECORD_ID, "wiki.mlops.internal", "A", ("192.168.2.20",), _ACTIVE),
        record("git.mlops.internal", "192.168.2.21"),
        record("한글.mlops.internal", "192.168.2.22"),
    )
    return (
        HostedZone(PRIVATE_ZONE_ID, "mlops.internal", "private", _ACTIVE, private),
        HostedZone(
            PUBLIC_ZONE_ID, "mlops.example.com", "public", _ACTIVE, (record("www.mlops.example.com", "192.0.2.10"),)
        ),
        HostedZone(CREATING_ZONE_ID, "new.example.com", "public", "CREATING", ()),
    )
