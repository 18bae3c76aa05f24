"""The state of the simulated account: platforms, clusters, images, and how they change with time.

A change is data: it has a start and a length, and a state is a pure function of these and the clock. Knows nothing of
HTTP, of request bodies or of what is allowed. DEPLOYED is the only release state the reference names and CREATING,
RUNNING, UPDATING, DELETING are the cluster states seen; the other words are the sandbox's own.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from aimlops_tools.models.neighbours import MIN_CLUSTER_GB, MIN_CLUSTER_VCPUS
from pydantic import JsonValue

from aimlops_server.sandbox.neighbours.world import Neighbours, ServerType

# Lengths are ours. A chain with a new cluster took about 49 minutes live; no install was ever timed.
INSTALL_S = 10 * 60
NEW_CLUSTER_S = 30 * 60
UPDATE_S = 2 * 60
DELETE_S = 5 * 60

DEPLOYED = "DEPLOYED"
FAILED = "FAILED"
RUNNING = "RUNNING"


class ChangeKind(StrEnum):
    """What is being done; its value is the state shown meanwhile."""

    CREATE = "CREATING"
    UPDATE = "UPDATING"
    DELETE = "DELETING"


@dataclass(frozen=True, slots=True)
class Transition:
    """One change under way, or the last one made."""

    change: ChangeKind
    started_s: float
    takes_s: float
    fails: bool = False

    def is_over(self, now_s: float) -> bool:
        return now_s - self.started_s >= self.takes_s

    def is_gone(self, now_s: float) -> bool:
        return self.change is ChangeKind.DELETE and self.is_over(now_s) and not self.fails

    def state(self, now_s: float, afterwards: str) -> str:
        if not self.is_over(now_s):
            return self.change.value
        return FAILED if self.fails else afterwards


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster."""

    name: str
    uid: str
    ip: str
    vcpus: int
    memory_gb: int
    gpus: int = 0
    gpu_name: str | None = None


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A storage class of a cluster."""

    name: str
    uid: str
    provisioner: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Network:
    """Where a cluster is, by the neighbouring services' ids."""

    vpc_id: str
    subnet_id: str
    security_group_ids: tuple[str, ...]
    volume_id: str
    has_public_endpoint: bool = False


@dataclass(frozen=True, slots=True)
class NodePool:
    """Equal machines of a cluster."""

    name: str
    server_type_id: str
    image_os: str
    image_os_version: str
    nodes: tuple[Node, ...]
    is_auto_scale: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kubernetes cluster. `has_namespaces`: the product's namespaces are there although no release is."""

    cluster_id: str
    name: str
    kubernetes_version: str
    network: Network
    pools: tuple[NodePool, ...]
    storage_classes: tuple[StorageClass, ...]
    transition: Transition
    has_namespaces: bool = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for pool in self.pools for node in pool.nodes)

    def state(self, now_s: float) -> str:
        return self.transition.state(now_s, RUNNING)

    def is_enough_for(self, product_type: str) -> bool:
        vcpus = sum(node.vcpus for node in self.nodes)
        memory_gb = sum(node.memory_gb for node in self.nodes)
        return vcpus >= MIN_CLUSTER_VCPUS[product_type] and memory_gb >= MIN_CLUSTER_GB[product_type]


@dataclass(frozen=True, slots=True)
class Image:
    """An installable image. `product_type` is what it installs; `shows_product_type`: whether the catalogue says so."""

    image_id: str
    image_name: str
    product_type: str
    shows_product_type: bool
    base_image: str
    description: str
    icon_file: str
    icon_file_name: str
    created_s: float

    @property
    def version(self) -> str:
        return "v" + self.base_image.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a platform's dashboard is reached."""

    type: str | None
    ip_address: str
    domain_service: dict[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class Platform:
    """A release. While it is being updated its endpoint is still the former one."""

    release_id: str
    release_name: str
    ai_ml_ops_platform_type: str
    version: str
    cluster_id: str
    image_id: str
    image_name: str
    initial_user_email: str
    created_by: str
    created_s: float
    transition: Transition
    endpoint: Endpoint
    former_endpoint: Endpoint | None = None
    storage_class_name: str | None = None
    modified_by: str | None = None
    modified_s: float | None = None

    def state(self, now_s: float) -> str:
        return self.transition.state(now_s, DEPLOYED)

    def endpoint_at(self, now_s: float) -> Endpoint | None:
        """The endpoint in force; None until there is one."""
        if self.transition.change is ChangeKind.CREATE and self.state(now_s) != DEPLOYED:
            return None
        over = self.transition.is_over(now_s) and not self.transition.fails
        return self.endpoint if over or self.former_endpoint is None else self.former_endpoint


class World:
    """What exists now. `clock_s` moves every change on."""

    def __init__(
        self,
        clock_s: Callable[[], float],
        neighbours: Neighbours,
        platforms: Iterable[Platform] = (),
        clusters: Iterable[Cluster] = (),
        images: Iterable[Image] = (),
    ) -> None:
        self._clock_s = clock_s
        self.neighbours = neighbours
        self._platforms = {platform.release_id: platform for platform in platforms}
        self._clusters = {cluster.cluster_id: cluster for cluster in clusters}
        self._images = {image.image_id: image for image in images}

    def now_s(self) -> float:
        return self._clock_s()

    def platforms(self) -> tuple[Platform, ...]:
        now_s = self.now_s()
        return tuple(platform for platform in self._platforms.values() if not platform.transition.is_gone(now_s))

    def platform(self, release_id: str) -> Platform | None:
        found = self._platforms.get(release_id)
        return None if found is None or found.transition.is_gone(self.now_s()) else found

    def platforms_on(self, cluster_id: str) -> tuple[Platform, ...]:
        return tuple(platform for platform in self.platforms() if platform.cluster_id == cluster_id)

    def clusters(self) -> tuple[Cluster, ...]:
        now_s = self.now_s()
        return tuple(cluster for cluster in self._clusters.values() if not cluster.transition.is_gone(now_s))

    def cluster(self, cluster_id: str) -> Cluster | None:
        found = self._clusters.get(cluster_id)
        return None if found is None or found.transition.is_gone(self.now_s()) else found

    def images(self) -> tuple[Image, ...]:
        return tuple(self._images.values())

    def image(self, image_id: str) -> Image | None:
        return self._images.get(image_id)

    def state(self, platform: Platform) -> str:
        return platform.state(self.now_s())

    def put(self, platform: Platform) -> None:
        self._platforms[platform.release_id] = platform

    def put_cluster(self, cluster: Cluster) -> None:
        self._clusters[cluster.cluster_id] = cluster


@lru_cache(maxsize=4096)  # a seeded account derives thousands, and a test has one of its own
def derived_id(*parts: str) -> str:
    """32 hex digits that are always the same for the same parts."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def derived_uuid(*parts: str) -> str:
    """The same with hyphens."""
    return str(uuid.UUID(derived_id(*parts)))


def make_nodes(
    cluster_name: str, pool_name: str, server_type: ServerType, count: int, first: int = 1
) -> tuple[Node, ...]:
    """The machines of a pool; `first` is the number of the first one in its cluster."""
    return tuple(
        Node(
            name=f"{cluster_name}-{pool_name}-{number}",
            uid=derived_id("node", cluster_name, str(number)),
            ip=f"192.168.{10 + number // 250}.{number % 250 + 1}",
            vcpus=server_type.vcpus,
            memory_gb=server_type.memory_gb,
            gpus=4 if server_type.has_gpus else 0,
            gpu_name="NVIDIA-H100-80GB-HBM3" if server_type.has_gpus else None,
        )
        for number in range(first, first + count)
    )


def make_storage_classes(cluster_name: str) -> tuple[StorageClass, ...]:
    return (
        StorageClass("nfs-subdir-external-sc", derived_id("sc", cluster_name, "nfs"), "nfs.csi.k8s.io", True),
        StorageClass("bs-fast", derived_id("sc", cluster_name, "bs"), "bs.csi.samsungsdscloud.com", False),
    )
