"""What the account has in the neighbouring services. Nothing in it changes with time: only clusters do, and those are
the sandbox's own.

Each class is one kind of thing under the wire's field names. Numbers are text where the service writes them so.
Knows no request, and not what is allowed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


IdentifiedT = TypeVar("IdentifiedT", bound=_HasId)


@dataclass(frozen=True, slots=True)
class Cidr:
    """A range of addresses."""

    cidr: str


@dataclass(frozen=True, slots=True)
class Vpc:
    """A private network."""

    id: str
    name: str
    state: str
    cidrs: tuple[Cidr, ...]


@dataclass(frozen=True, slots=True)
class Subnet:
    """A part of a VPC."""

    id: str
    name: str
    cidr: str
    type: str
    state: str
    vpc_id: str
    vpc_name: str


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """Firewall rules."""

    id: str
    name: str
    state: str
    rule_count: str


@dataclass(frozen=True, slots=True)
class FileVolume:
    """Shared file storage."""

    id: str
    name: str
    protocol: str
    type_name: str
    state: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Keypair:
    """A key pair; it has no id."""

    name: str
    type: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ServerType:
    """A size of machine; `ram` in MB."""

    id: str
    vcpus: int
    ram: int
    description: str

    @property
    def memory_gb(self) -> int:
        return self.ram // 1024

    @property
    def has_gpus(self) -> bool:
        return self.id.startswith("g")


@dataclass(frozen=True, slots=True)
class VolumeType:
    """A kind of disk."""

    id: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class KubernetesVersion:
    """A version for new clusters until `end_s`, in Unix seconds."""

    kubernetes_version: str
    end_s: float
    description: str


@dataclass(frozen=True, slots=True)
class NodeImage:
    """An operating system for the nodes of one Kubernetes version, with GPUs or without."""

    id: str
    os: str
    os_version: str
    kubernetes_version: str
    end_of_support: str
    for_gpus: bool
    min_volume_gb: int


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A load balancer."""

    id: str
    name: str
    state: str
    vpc_id: str
    subnet_id: str
    service_ip: str
    layer_type: str


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record."""

    id: str
    name: str
    type: str
    records: tuple[str, ...]
    status: str
    ttl: str = "300"


@dataclass(frozen=True, slots=True)
class HostedZone:
    """A DNS zone with its records."""

    id: str
    name: str
    hosted_zone_type: str
    status: str
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Everything that the look-ups list besides clusters and quotas."""

    vpcs: tuple[Vpc, ...]
    subnets: tuple[Subnet, ...]
    security_groups: tuple[SecurityGroup, ...]
    file_volumes: tuple[FileVolume, ...]
    keypairs: tuple[Keypair, ...]
    server_types: tuple[ServerType, ...]
    volume_types: tuple[VolumeType, ...]
    kubernetes_versions: tuple[KubernetesVersion, ...]
    node_images: tuple[NodeImage, ...]
    load_balancers: tuple[LoadBalancer, ...]
    hosted_zones: tuple[HostedZone, ...]


def by_id(things: Iterable[IdentifiedT], wanted: object) -> IdentifiedT | None:
    """The one with this id."""
    return next((thing for thing in things if thing.id == wanted), None)
