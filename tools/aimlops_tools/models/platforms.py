"""AI&MLOps platforms (releases): list, read, create, update, delete, and the check of a name."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from aimlops_tools.fields import (
    AsyncResponse,
    Check,
    ClusterId,
    Contents,
    EndpointType,
    Paged,
    ProductType,
    ReleaseId,
    ReleaseName,
    Secret,
)
from aimlops_tools.operation import Answer, Arguments, Effect, Operation, SecretMark, Since, operation
from aimlops_tools.text import ObjectOrNone, Text

PLATFORMS = "/v1/aimlops-platform"
PLATFORM = PLATFORMS + "/{release_id}"

Required = Annotated[str, Field(min_length=1)]
Tag = dict[str, JsonValue]


class KubeflowResponse(Answer):
    """A platform as the list shows it (reference 2.11)."""

    release_id: Text
    release_name: Text
    status: Text
    kubeflow_type: Text
    version: Text
    cluster_id: Text
    cluster_name: Text | None = None
    created_by: Text
    created_dt: Text
    modified_by: Text | None = None
    modified_dt: Text | None = None


class AiMlOpsPlatformsListResponse(Contents[KubeflowResponse]):
    """A page of platforms (reference 2.7)."""


class AiMlOpsPlatformDetailResponse(Answer):
    """Everything the API tells of one platform (reference 2.3). The password never comes back."""

    release_id: Text
    release_name: Text
    release_state: Text
    dashboard_state: Text
    ai_ml_ops_platform_type: Text | None = None
    version: Text | None = None
    ai_ml_ops_platform_endpoint_type: Text | None = None
    ai_ml_ops_platform_endpoint_ip_address: Text | None = None
    ai_ml_ops_platform_endpoint_port: Text | None = None
    ai_ml_ops_platform_domain_service: ObjectOrNone = None
    cluster_id: Text
    cluster_name: Text | None = None
    cluster_state: Text | None = None
    image_id: Text
    image_name: Text
    storage_class_name: Text | None = None
    initial_user_email: Text
    project_id: Text
    project_name: Text
    created_by: Text
    created_dt: Text
    modified_by: Text | None = None
    modified_dt: Text | None = None


@operation("GET", PLATFORMS, effect=Effect.READ, source="1.6")
class ListPlatforms(Paged, Operation[AiMlOpsPlatformsListResponse]):
    """List the account's AI&MLOps platforms, with ids, states and clusters.

    Use it first, to find a release_id. Free; changes nothing.
    """

    created_by: str | None = Field(default=None, description="User id, not a name")
    release_name: str | None = None
    cluster_name: str | None = None
    version: str | None = Field(default=None, description="Product version, e.g. v1.7.1")
    kubeflow_type: str | None = Field(default=None, description="Enterprise or Mini")
    status: str | None = Field(default=None, description="e.g. DEPLOYED")


@operation("GET", PLATFORM, effect=Effect.READ, source="1.5")
class GetPlatform(Operation[AiMlOpsPlatformDetailResponse]):
    """Show one platform: state, endpoint, cluster, image.

    release_state DEPLOYED is done, a word with FAIL or ERROR has failed, any other is in progress, "not found" after
    a delete means gone. wait_for_platform follows a change. Free; changes nothing.
    """

    release_id: ReleaseId


class AiMLOpsPlatformCreateRequest(Arguments):
    """The platform itself (reference 2.1)."""

    release_name: ReleaseName
    ai_ml_ops_platform_type: ProductType = Field(description="Must match the image")
    image_id: Required = Field(description="From list_images")
    cluster_id: ClusterId | None = Field(
        default=None, description="Existing RUNNING cluster; leave out to build a new one"
    )
    ai_ml_ops_platform_endpoint_type: EndpointType | None = None
    node_type: Literal["vm", "bm"] | None = None
    storage_class_name: str | None = Field(default=None, description="Left out: the cluster's default")
    initial_user_email: str | None = Field(default=None, description="First Kubeflow user; ask for it")
    # The mark stands here too: inside `Secret | None` it would not be the field's own.
    initial_user_password: Annotated[Secret | None, SecretMark()] = Field(
        default=None,
        description="First Kubeflow user's, by reference: env:SCP_MCP_SECRET_<NAME> or file:<name>, never the password "
        "itself. Left out: the user types it on the approval page",
    )
    tags: Annotated[tuple[Tag, ...], Field(strict=False)] | None = Field(
        default=None, description='[{"key": "…", "value": "…"}]'
    )


class KubernetesEngineCreateRequest(Arguments):
    """The cluster to build first (reference 2.12)."""

    kubernetes_engine_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9\-]*[a-z0-9]$", min_length=3, max_length=30)]
    k8s_version: Required = Field(description="e.g. v1.33.5")
    vpc_id: Required
    subnet_id: Required
    security_group_id_list: Annotated[tuple[Required, ...], Field(strict=False)]
    volume_id: Required = Field(description="File storage, NFS")
    cifs_volume_id: str | None = None
    lb_id: str | None = Field(default=None, description="Load balancer in the same VPC")
    public_acl_ip_address: str | None = Field(
        default=None, description="IP or CIDR let in to the cluster's public API; 0.0.0.0/0 is everyone"
    )
    private_acl_ip_resource: Annotated[tuple[Tag, ...], Field(strict=False)] | None = Field(
        default=None, description='[{"id": "…", "name": "…", "type": "vm"}]'
    )
    cloud_logging_enabled: bool | None = None


class NodePoolCreateRequest(Arguments):
    """The new cluster's machines (reference 2.15). `zone` is live in API 1.2, newer than the reference (facts 2)."""

    name: Required
    image_os: Required = Field(description="e.g. ubuntu")
    image_os_version: Required = Field(description='Text, e.g. "22.04"')
    server_type_id: Required = Field(description="e.g. s1v16m64: 16 vCPU, 64 GB")
    volume_type_name: Required = Field(description="e.g. SSD")
    volume_size: int = Field(description="GB, e.g. 104")
    keypair_name: Required
    desired_node_count: int | None = Field(default=None, description="Give without is_auto_scale")
    is_auto_scale: bool | None = None
    min_node_count: int | None = Field(default=None, description="Give with is_auto_scale")
    max_node_count: int | None = Field(default=None, description="Give with is_auto_scale")
    is_auto_recovery: bool | None = None
    kubernetes_version: str | None = Field(default=None, description="Same as k8s_version")
    cluster_id: str | None = Field(default=None, description="Leave out")
    zone: Annotated[str | None, Since("1.2")] = Field(default=None, description="API 1.2 only, e.g. kr-west1-a")


@operation("POST", PLATFORMS, effect=Effect.CREATE, status=201, source="1.3")
class CreatePlatform(Operation[AsyncResponse]):
    """Install an AI&MLOps platform (managed Kubeflow), after a person confirms.

    Either on an existing cluster (cluster_id) or on a new one (leave cluster_id out and give both
    kubernetes_engine_create_request and node_pool_create_request). Costs money every hour until deleted: the nodes,
    their disks, the product. Takes about 10 minutes on an existing cluster, 50 with a new one: wait_for_platform;
    undone only by delete_platform. Ids come from find_options and list_images; leave out what nobody has chosen: the
    user is asked, or the error says how to find it. dry_run=true checks everything first.
    """

    ai_ml_ops_platform_create_request: AiMLOpsPlatformCreateRequest
    kubernetes_engine_create_request: KubernetesEngineCreateRequest | None = Field(
        default=None, description="The new cluster"
    )
    node_pool_create_request: NodePoolCreateRequest | None = Field(default=None, description="Its machines")

    def with_password_reference(self, reference: str) -> Self:
        """The same request whose password is what `reference` will stand for."""
        platform = self.ai_ml_ops_platform_create_request.model_copy(update={"initial_user_password": reference})
        return self.model_copy(update={"ai_ml_ops_platform_create_request": platform})


class AiMlOpsPlatformDomainServiceRequest(Arguments):
    """A DNS record for the dashboard (reference 2.4, which spells the name AiMlOpsPlatformDomainServiceReuqest)."""

    operation_type: Literal["CREATE", "UPDATE", "DELETE"] | None = None
    dns_id: str | None = Field(default=None, description="Hosted zone id")
    record_id: str | None = Field(default=None, description="For UPDATE and DELETE")
    record_name: str | None = Field(default=None, description="e.g. sample")
    domain_service_name: str | None = Field(default=None, description="record_name + zone name")
    ip: str | None = Field(default=None, description="The platform's endpoint IP")


@operation("PUT", PLATFORM, effect=Effect.UPDATE, source="1.10")
class UpdatePlatform(Operation[AsyncResponse]):
    """Change a platform's endpoint type or its DNS record, after a person confirms.

    Free. Public opens the dashboard to the internet, Private cuts off those who reach it from there. Undone by the
    opposite update. Nothing else of a platform can be changed. Not possible while it is being created or updated.
    """

    release_id: ReleaseId
    ai_ml_ops_platform_endpoint_type: EndpointType | None = None
    ai_ml_ops_platform_domain_service: AiMlOpsPlatformDomainServiceRequest | None = Field(
        default=None, description="DNS record to create, update or delete"
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        service = self.ai_ml_ops_platform_domain_service
        is_empty = service is not None and not service.model_fields_set
        if is_empty or (service is None and self.ai_ml_ops_platform_endpoint_type is None):
            # The service accepts an empty update and does nothing (facts, trap 34).
            raise ValueError("give ai_ml_ops_platform_endpoint_type or ai_ml_ops_platform_domain_service")
        return self


@operation("DELETE", PLATFORM, effect=Effect.DELETE, source="1.4")
class DeletePlatform(Operation[None]):
    """Delete a platform, after a person types its name. Cannot be undone.

    Notebooks, pipelines, models and their volumes go with it. with_k8s=true also deletes the whole Kubernetes
    cluster with its nodes, and every other platform and workload on it. Ends the platform's cost; VPC, subnet,
    security groups, file storage, load balancer and DNS records stay and stay billed.
    """

    release_id: ReleaseId
    with_k8s: bool = Field(default=False, description="Delete the whole cluster too")


@operation("GET", PLATFORMS + "/check-duplication", effect=Effect.READ, source="1.2")
class CheckPlatformName(Check):
    """Check whether a platform name is taken: result true means taken, false means free.

    Use it before create_platform. Free; changes nothing.
    """

    true_means = "the name is taken"
    false_means = "the name is free"
    documented = True

    release_name: ReleaseName
