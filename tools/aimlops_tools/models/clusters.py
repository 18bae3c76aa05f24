"""Kubernetes clusters as this API sees them: nodes, storage classes, and three checks before an installation."""

from typing import Annotated

from pydantic import Field

from aimlops_tools.fields import Check, CheckedProductType, ClusterId, Listing, Paged
from aimlops_tools.models.platforms import PLATFORMS
from aimlops_tools.operation import Answer, Effect, Operation, operation
from aimlops_tools.text import Object, Text

CLUSTER = PLATFORMS + "/clusters/{cluster_id}"
INTERNAL_CLUSTER = PLATFORMS + "/internal/clusters/{cluster_id}"


class NodeResponse(Answer):
    """A cluster's machine (reference 2.16, where no field is required)."""

    name: Text | None = None
    node_status: Text | None = None
    ip: Text | None = None
    external_ip_address: Text | None = None
    kubernetes_version: Text | None = None
    number_of_gpu: int | None = None
    gpu_name: Text | None = None
    number_of_allocated_pods: Text | None = None
    node_capacities: tuple[Object, ...] | None = None
    os_image: Text | None = None
    kernel_version: Text | None = None
    container_version: Text | None = None
    mngc_node: bool | None = None
    mngc_node_type: Text | None = None
    cluster_id: Text | None = None
    uid: Text | None = None
    created_at: Text | None = None
    age: Text | None = None


class ListNodeResponse(Listing[NodeResponse]):
    """A page of nodes (reference 2.13)."""

    items_field = "nodes"

    nodes: tuple[NodeResponse, ...] | None = None
    count: int | None = None
    links: tuple[Object, ...] | None = None

    @property
    def items(self) -> tuple[NodeResponse, ...]:
        return self.nodes or ()

    @property
    def total(self) -> int:
        return len(self.items) if self.count is None else self.count


class StorageClassResponse(Answer):
    """A storage class (reference 2.17, where no field is required)."""

    name: Text | None = None
    default_class: Text | None = None
    provisioner: Text | None = None
    pv_reclaim_policy: Text | None = None
    volume_binding_mode: Text | None = None
    allow_volume_expansion: Text | None = None
    cluster_id: Text | None = None
    uid: Text | None = None
    created_at: Text | None = None
    age: Text | None = None


class ListStorageClassResponse(Listing[StorageClassResponse]):
    """A cluster's storage classes (reference 2.14)."""

    items_field = "storage_classes"

    storage_classes: tuple[StorageClassResponse, ...] | None = None
    count: int | None = None
    links: tuple[Object, ...] | None = None

    @property
    def items(self) -> tuple[StorageClassResponse, ...]:
        return self.storage_classes or ()

    @property
    def total(self) -> int:
        return len(self.items) if self.count is None else self.count


# The two internal lists exist in API 1.0 alone, live included (facts 2).
@operation("GET", INTERNAL_CLUSTER + "/nodes", effect=Effect.READ, source="1.8", versions=("1.0",))
class ListNodes(Paged, Operation[ListNodeResponse]):
    """List a cluster's nodes: state, GPUs, Kubernetes version.

    Works once a platform is deployed on the cluster; "not found" before that. Free; changes nothing.
    """

    cluster_id: ClusterId


@operation("GET", INTERNAL_CLUSTER + "/storageclasses", effect=Effect.READ, source="1.9", versions=("1.0",))
class ListStorageClasses(Operation[ListStorageClassResponse]):
    """List a cluster's storage classes.

    Works once a platform is deployed on the cluster; "not found" before that. Free; changes nothing.
    """

    cluster_id: ClusterId


@operation("GET", CLUSTER + "/check-version", effect=Effect.READ, source="1.1")
class CheckClusterVersion(Check):
    """Check whether a cluster's Kubernetes version suits the platform.

    Use it before create_platform on an existing cluster. Free; changes nothing.
    """

    true_means = "this Kubernetes version is supported"
    false_means = "this Kubernetes version is not supported, or the text is not a Kubernetes version"

    cluster_id: ClusterId
    version: Annotated[str, Field(min_length=1, description="Kubernetes version, e.g. 1.28.1")]


@operation("GET", CLUSTER + "/validate-namespaces", effect=Effect.READ, source="1.11")
class ValidateClusterNamespace(Check):
    """Check whether a platform is already installed in a cluster's namespaces.

    Use it before create_platform on an existing cluster. Free; changes nothing.
    """

    true_means = "a platform is already installed on this cluster"
    false_means = "no platform is installed on this cluster"

    cluster_id: ClusterId


@operation("GET", CLUSTER + "/validate-resources", effect=Effect.READ, source="1.12")
class ValidateClusterResources(Check):
    """Check whether a cluster is large enough for a product type.

    Use it before create_platform on an existing cluster. Free; changes nothing.
    """

    true_means = "the cluster is large enough"
    false_means = "the cluster is too small"

    cluster_id: ClusterId
    product_type: CheckedProductType
