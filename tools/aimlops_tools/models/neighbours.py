"""The look-ups of facts 7: what each neighbouring service lists, and what makes an option unsuitable."""

import re
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

from aimlops_tools.fields import ClusterId, HostedZoneId
from aimlops_tools.lookup import (
    Item,
    LimitMarker,
    Lookup,
    LookupAnswer,
    Needs,
    OffsetLimit,
    Said,
    SizePage,
    said,
)
from aimlops_tools.operation import Effect, Spec
from aimlops_tools.text import Object, ObjectOrNone, Text

PLATFORM = "ai_ml_ops_platform_create_request"
ENGINE = "kubernetes_engine_create_request"
POOL = "node_pool_create_request"
DNS = "ai_ml_ops_platform_domain_service"

# All ours: the vendor publishes no minimum, for a node or for a cluster. The sandbox goes by the same.
MIN_NODE_VCPUS = 4
MIN_NODE_GB = 16
MIN_CLUSTER_VCPUS = {"Enterprise": 24, "Mini": 8}
MIN_CLUSTER_GB = {"Enterprise": 96, "Mini": 32}


# By kind: the class's name in lower case, e.g. `security_groups`.
LOOKUPS: dict[str, type[Lookup]] = {}
LookupT = TypeVar("LookupT", bound=Lookup)


def lookup(
    service: str, version: str, path: str, items_name: str, item: type[Item], *, is_global: bool = False
) -> Callable[[type[LookupT]], type[LookupT]]:
    """Declare the decorated class as `GET path` of a neighbouring service; `version` was current in facts 7."""

    def declare(cls: type[LookupT]) -> type[LookupT]:
        cls.spec = Spec("GET", path, Effect.READ, (version,), 200, "facts 7", service=service, is_global=is_global)
        cls.items_name = items_name
        cls.item = item
        LOOKUPS[cls.tool_name()] = cls
        return cls

    return declare


def _not_in(state: str, *wanted: str) -> Iterator[Said]:
    if state.upper() not in {each.upper() for each in wanted}:
        yield said("its state is {state}, not {wanted}", state=state or "?", wanted=wanted[0])


def _elsewhere(vpc_id: str, needs: Needs) -> Iterator[Said]:
    if needs.vpc_id and vpc_id != needs.vpc_id:
        yield said("it is in VPC {vpc_id}, not in {wanted}", vpc_id=vpc_id or "?", wanted=needs.vpc_id)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class _Named(Item):
    """Most things have an id, a name and a state; `state` is under one of two names."""

    id: Text = ""
    name: Text = ""
    status: Text = ""
    state: Text = ""

    @property
    def value(self) -> str:
        return self.id

    @property
    def current(self) -> str:
        return self.state or self.status


class Cluster(_Named):
    """A Kubernetes cluster. A list entry; `show_cluster` gives its network too."""

    goes_into = (f"{PLATFORM}.cluster_id",)

    kubernetes_version: Text = ""
    node_count: Text = ""
    subnet_id: Text = ""
    vpc: ObjectOrNone = None

    @property
    def label(self) -> str:
        return f"{self.name} (Kubernetes {self.kubernetes_version or 'unknown'}, {self.node_count or '?'} nodes)"

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        yield from _not_in(self.current, "RUNNING")


class NodePool(_Named):
    """A group of equal machines of a cluster."""

    current_node_count: Text = ""
    server_type: ObjectOrNone = None
    image: ObjectOrNone = None

    @property
    def label(self) -> str:
        size = (self.server_type or {}).get("id", "unknown size")
        return f"{self.name} ({self.current_node_count or '?'} × {size})"

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        yield from _not_in(self.current, "RUNNING")


class KubernetesVersion(Item):
    """A version that a new cluster can have."""

    goes_into = (f"{ENGINE}.k8s_version", f"{POOL}.kubernetes_version")

    kubernetes_version: Text = ""
    end_dt: Text = ""
    description: Text = ""

    @property
    def value(self) -> str:
        return self.kubernetes_version

    @property
    def label(self) -> str:
        end = f" (supported until {self.end_dt[:10]})" if self.end_dt else ""
        return f"Kubernetes {self.kubernetes_version}{end}"

    @property
    def order(self) -> tuple[float, ...]:
        # The newest first: it is supported for longest.
        return tuple(-float(part) for part in re.findall(r"\d+", self.kubernetes_version))

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        if needs.today and self.end_dt and self.end_dt[:10] < needs.today:
            yield said("its support ended on {date}", date=self.end_dt[:10])


class NodeImage(Item):
    """An operating system for a node pool."""

    goes_into = (f"{POOL}.image_os", f"{POOL}.image_os_version")

    os: Text = ""
    os_version: Text = ""
    kubernetes_version: Text = ""
    end_of_support: Text = ""
    scp_original_image_type: Text = ""
    volume: ObjectOrNone = None

    @property
    def value(self) -> str:
        return f"{self.os} {self.os_version}"

    @property
    def is_for_gpus(self) -> bool:
        return self.scp_original_image_type.endswith("gpu")

    @property
    def min_volume_gb(self) -> float | None:
        """The smallest disk it fits on (inferred)."""
        return _number(str((self.volume or {}).get("size", "")))

    @property
    def label(self) -> str:
        gpus = " for GPU nodes" if self.is_for_gpus else ""
        disk = f", disk from {self.min_volume_gb:g} GB" if self.min_volume_gb else ""
        return f"{self.os} {self.os_version}{gpus}, Kubernetes {self.kubernetes_version}{disk}"

    def sets(self) -> dict[str, str]:
        return dict(zip(self.goes_into, (self.os, self.os_version), strict=True))

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        if needs.kubernetes_version and not same_version(self.kubernetes_version, needs.kubernetes_version):
            yield said(
                "it is for Kubernetes {version}, not {wanted}",
                version=self.kubernetes_version or "?",
                wanted=needs.kubernetes_version,
            )
        if needs.server_type_id and self.is_for_gpus is not needs.server_type_id.startswith("g"):
            yield said("it is for GPU nodes") if self.is_for_gpus else said("it is not for GPU nodes")
        if self.end_of_support.lower() in {"true", "y", "yes"}:
            yield said("it is no longer supported")


class Vpc(_Named):
    """A private network."""

    goes_into = (f"{ENGINE}.vpc_id",)

    cidrs: tuple[Object, ...] | None = None

    @property
    def label(self) -> str:
        ranges = ", ".join(str(each.get("cidr", "")) for each in self.cidrs or ())
        return f"{self.name} ({ranges or 'no range told'})"

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        yield from _not_in(self.current, "ACTIVE")


class Subnet(_Named):
    """A part of a VPC."""

    goes_into = (f"{ENGINE}.subnet_id",)

    cidr: Text = ""
    type: Text = ""
    vpc_id: Text = ""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.cidr}, {self.type or 'type not told'})"

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        yield from _elsewhere(self.vpc_id, needs)
        yield from _not_in(self.current, "ACTIVE")


class SecurityGroup(_Named):
    """Firewall rules for a cluster's machines."""

    goes_into = (f"{ENGINE}.security_group_id_list",)

    rule_count: Text = ""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.rule_count or '?'} rules)"

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        yield from _not_in(self.current, "ACTIVE")


class FileVolume(_Named):
    """Shared file storage. NFS goes into volume_id, CIFS into cifs_volume_id."""

    goes_into = (f"{ENGINE}.volume_id", f"{ENGINE}.cifs_volume_id")

    protocol: Text = ""
    type_name: Text = ""
    purpose: Text = ""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.protocol}, {self.type_name or 'type not told'})"

    def sets(self) -> dict[str, str]:
        nfs, cifs = self.goes_into
        return {cifs if self.protocol.upper() == "CIFS" else nfs: self.id}

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        if self.protocol.upper() != "NFS":
            yield said("its protocol is {protocol}, and volume_id needs NFS", protocol=self.protocol or "?")
        yield from _not_in(self.current, "available", "active")


class Keypair(Item):
    """A key pair for logging in to the nodes. It has no id: its name is what a request holds."""

    goes_into = (f"{POOL}.keypair_name",)

    name: Text = ""
    type: Text = ""
    fingerprint: Text = ""

    @property
    def value(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        return f"{self.name} ({self.type or 'ssh'})"


class ServerType(Item):
    """A size of machine; ids that start with g have GPUs."""

    goes_into = (f"{POOL}.server_type_id",)

    id: Text = ""
    vcpus: Text = ""
    ram: Text = ""
    description: Text = ""

    @property
    def value(self) -> str:
        return self.id

    @property
    def has_gpus(self) -> bool:
        return self.id.startswith("g")

    @property
    def vcpu_count(self) -> float | None:
        return _number(self.vcpus)

    @property
    def ram_gb(self) -> float | None:
        """`ram` in GB; the service tells it in MB (inferred: `s1v16m64` is 64 GB)."""
        megabytes = _number(self.ram)
        return None if megabytes is None else megabytes / 1024

    @property
    def label(self) -> str:
        size = f"{self.vcpus or '?'} vCPU, {f'{self.ram_gb:g}' if self.ram_gb else '?'} GB"
        return f"{self.id} ({size}{', GPU' if self.has_gpus else ''})"

    @property
    def order(self) -> tuple[float, ...]:
        # What probably costs least comes first.
        return (self.has_gpus, self.vcpu_count or 0, self.ram_gb or 0)

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        vcpus = self.vcpu_count
        if (vcpus is not None and vcpus < MIN_NODE_VCPUS) or (self.ram_gb is not None and self.ram_gb < MIN_NODE_GB):
            yield said("it is smaller than {vcpus} vCPU and {gb} GB", vcpus=f"{MIN_NODE_VCPUS}", gb=f"{MIN_NODE_GB}")


class VolumeType(Item):
    """A kind of disk for the nodes; its name is what a request holds."""

    goes_into = (f"{POOL}.volume_type_name",)

    id: Text = ""
    name: Text = ""
    description: Text = ""

    @property
    def value(self) -> str:
        return self.name

    @property
    def marker(self) -> str:
        # Inferred: where things have ids, a list ends at an id, whatever a request holds.
        return self.id or self.name

    @property
    def label(self) -> str:
        return f"{self.name} ({self.description})" if self.description else self.name

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        if "provisioned" in self.name.lower():
            yield said("it needs IOPS and throughput, which this API cannot give")


class LoadBalancer(_Named):
    """A load balancer for a new cluster; optional."""

    goes_into = (f"{ENGINE}.lb_id",)

    vpc_id: Text = ""
    subnet_id: Text = ""
    service_ip: Text = ""
    layer_type: Text = ""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.layer_type}, {self.service_ip or 'no address'})"

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        yield from _elsewhere(self.vpc_id, needs)
        yield from _not_in(self.current, "ACTIVE")


class HostedZone(_Named):
    """A DNS zone, for update_platform's record."""

    goes_into = (f"{DNS}.dns_id",)

    hosted_zone_type: Text = ""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.hosted_zone_type or 'type not told'})"

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        wanted = needs.endpoint_type.lower()
        if wanted and self.hosted_zone_type and self.hosted_zone_type.lower() != wanted:
            yield said(
                "it is {zone_type}, and the endpoint is {endpoint}",
                zone_type=self.hosted_zone_type,
                endpoint=needs.endpoint_type,
            )
        yield from _not_in(self.current, "ACTIVE")


class DnsRecord(_Named):
    """A record of a zone, for update_platform's UPDATE and DELETE."""

    goes_into = (f"{DNS}.record_id",)

    type: Text = ""
    records: tuple[Text, ...] | None = None

    @property
    def label(self) -> str:
        return f"{self.name} {self.type} {', '.join(self.records or ())}".strip()


class AccountQuota(Item):
    """A limit of the account."""

    quota_item: Text = ""
    applied_value: Text = ""
    service: Text = ""

    @property
    def value(self) -> str:
        return self.quota_item

    @property
    def label(self) -> str:
        return f"{self.service} {self.quota_item}: {self.applied_value}"


@lookup("ske", "1.6", "/v1/clusters", "clusters", Cluster)
class Clusters(SizePage):
    """Kubernetes clusters."""


@lookup("ske", "1.6", "/v1/clusters/{cluster_id}", "cluster", Cluster)
class OneCluster(Lookup):
    """One cluster, with its network."""

    cluster_id: ClusterId


@lookup("ske", "1.6", "/v1/clusters/{cluster_id}/nodepools", "nodepools", NodePool)
class NodePools(SizePage):
    """A cluster's node pools."""

    cluster_id: ClusterId


@lookup("ske", "1.6", "/v1/kubernetes-versions", "kubernetes_versions", KubernetesVersion)
class KubernetesVersions(Lookup):
    """Versions for a new cluster."""


@lookup("ske", "1.6", "/v1/images", "nodepool_images", NodeImage)
class NodeImages(SizePage):
    """Operating systems for a node pool."""

    scp_original_image_type: Literal["k8s", "k8s_gpu"] = "k8s"
    kubernetes_version: str | None = None

    def items(self, page: LookupAnswer) -> list[Item]:
        # What was asked for says which nodes they are for; whether an item repeats it is not known.
        kind = {"scp_original_image_type": self.scp_original_image_type}
        return [item.model_copy(update=kind) for item in super().items(page)]


@lookup("vpc", "1.4", "/v1/vpcs", "vpcs", Vpc)
class Vpcs(SizePage):
    """Private networks."""


@lookup("vpc", "1.4", "/v1/subnets", "subnets", Subnet)
class Subnets(SizePage):
    """Subnets, of all VPCs: one of the wrong VPC is shown as such, not hidden."""


@lookup("security-group", "1.1", "/v1/security-groups", "security_groups", SecurityGroup)
class SecurityGroups(SizePage):
    """Security groups."""


@lookup("filestorage", "1.2", "/v1/volumes", "filestorages", FileVolume)
class FileVolumes(OffsetLimit):
    """File storage."""


@lookup("virtualserver", "1.5", "/v1/keypairs", "keypairs", Keypair)
class Keypairs(LimitMarker):
    """Key pairs."""


@lookup("virtualserver", "1.5", "/v1/server-types", "server_types", ServerType)
class ServerTypes(LimitMarker):
    """Sizes of machines."""


@lookup("virtualserver", "1.5", "/v1/volume-types", "volume_types", VolumeType)
class VolumeTypes(LimitMarker):
    """Kinds of disks."""


@lookup("loadbalancer", "1.4", "/v1/loadbalancers", "loadbalancers", LoadBalancer)
class LoadBalancers(SizePage):
    """Load balancers."""


@lookup("dns", "1.4", "/v1/hosted-zones", "hosted_zones", HostedZone)
class HostedZones(SizePage):
    """DNS zones."""


@lookup("dns", "1.4", "/v1/hosted-zones/{hosted_zone_id}/records", "records", DnsRecord)
class DnsRecords(LimitMarker):
    """A zone's records."""

    hosted_zone_id: HostedZoneId


@lookup("quota", "1.5", "/v1/account-quotas", "account_quotas", AccountQuota, is_global=True)
class AccountQuotas(SizePage):
    """The account's limits."""


def same_version(one: str, other: str) -> bool:
    """Whether two texts name the same Kubernetes version; a `v` in front does not matter (facts, trap 5)."""
    return one.strip().removeprefix("v") == other.strip().removeprefix("v")
