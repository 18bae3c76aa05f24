"""What a procedure is: a tool that makes several reads and answers one question. It changes nothing.

Like an operation, the class is the call: its fields are the arguments, its docstring the description, `AnswerT` the
answer. How it is done is the server's business.
"""

from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import Field, JsonValue

from aimlops_tools.fields import ClusterId, EndpointType, HostedZoneId, ReleaseId
from aimlops_tools.models.platforms import AiMlOpsPlatformDetailResponse
from aimlops_tools.operation import Answer, Tool

AnswerT = TypeVar("AnswerT", bound=Answer)

Kind = Literal[
    "clusters",
    "node_pools",
    "kubernetes_versions",
    "node_images",
    "vpcs",
    "subnets",
    "security_groups",
    "file_volumes",
    "keypairs",
    "server_types",
    "volume_types",
    "load_balancers",
    "hosted_zones",
    "dns_records",
]
# Of a kind that lists the parts of one thing, the argument that names the thing.
PARENT_OF: dict[str, str] = {"node_pools": "cluster_id", "dns_records": "hosted_zone_id"}


class Procedure(Tool, Generic[AnswerT]):
    """A tool of several reads."""

    registered: ClassVar[dict[str, "type[Procedure[Any]]"]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "[" not in cls.__name__:
            cls.registered[cls.tool_name()] = cls

    @classmethod
    def answer(cls) -> type[Answer]:
        """The class that `AnswerT` stands for."""
        return cast("type[Answer]", cls._in_brackets())


class FoundOption(Answer):
    """One choice."""

    value: str
    label: str
    sets: dict[str, str] = Field(description="Field of create_platform or update_platform: what to put there")
    unsuitable: tuple[str, ...] = Field(default=(), description="Why it probably will not do")


class FoundOptions(Answer):
    """A page of choices, suitable ones first."""

    options: tuple[FoundOption, ...]
    total: int
    note: str | None = Field(default=None, description="What could not be read")
    next: str | None = None


class FindOptions(Procedure[FoundOptions]):
    """Find what an id in create_platform or update_platform can be: real choices, suitable ones first.

    Each option says which fields it sets, and why it probably will not do. Give what is chosen already (vpc_id,
    kubernetes_version, server_type_id, endpoint_type), so that options are judged by it. Free; changes nothing.
    """

    kind: Kind
    cluster_id: ClusterId | None = Field(default=None, description="For node_pools")
    hosted_zone_id: HostedZoneId | None = Field(default=None, description="For dns_records")
    vpc_id: str | None = Field(default=None, description="For subnets, load_balancers")
    kubernetes_version: str | None = Field(default=None, description="For node_images")
    server_type_id: str | None = Field(default=None, description="For node_images")
    endpoint_type: EndpointType | None = Field(default=None, description="For hosted_zones")
    contains: str | None = Field(default=None, description="Only options with this text in them")
    size: int = Field(default=20, ge=1, le=100)
    page: int = Field(default=0, ge=0, description="From 0")


Until = Literal["deployed", "deleted", "changed"]


class Waited(Answer):
    """How it stands."""

    reached: bool = Field(description="Whether it became what was waited for")
    state: str
    waited_s: float
    platform: AiMlOpsPlatformDetailResponse | None = None
    access: dict[str, str] | None = Field(default=None, description="How people reach a deployed platform")
    next: str


class WaitForPlatform(Procedure[Waited]):
    """Wait until a platform is deployed, gone, or in another state, with progress notes meanwhile.

    Use it after create_platform, update_platform and delete_platform in place of polling get_platform. Ends early when
    the platform fails. Not there yet at the time-out: call again. Free; changes nothing.
    """

    release_id: ReleaseId
    until: Until = "deployed"
    timeout_s: float = Field(default=50, ge=0, le=3600, description="Most clients give up on a call after 60 s")


class Cause(Answer):
    """One explanation."""

    likelihood: Literal["certain", "likely", "possible"]
    what: str
    seen: str
    do: str = Field(description="The call that shows more, or what a person does")


class Diagnosis(Answer):
    """What is wrong, most likely first."""

    summary: str
    causes: tuple[Cause, ...]
    checked: tuple[str, ...]
    could_not_check: tuple[str, ...] = ()
    platform: AiMlOpsPlatformDetailResponse | None = None


class DiagnosePlatform(Procedure[Diagnosis]):
    """Say what is wrong with a platform that failed, is stuck or is unhealthy, most likely cause first.

    Reads its details, cluster, nodes, storage classes and the API's checks. Free; changes nothing.
    """

    release_id: ReleaseId


class SetupCheck(Answer):
    """One thing that has to be right."""

    name: str
    finding: Literal["pass", "fail", "could not check"]
    detail: str
    do: str | None = None


class Setup(Answer):
    """Whether this server can work."""

    ready: bool
    checks: tuple[SetupCheck, ...]
    settings: dict[str, JsonValue]


class CheckSetup(Procedure[Setup]):
    """Check this server itself: keys, clock, network, region, API versions, the product, the neighbouring services.

    Use it first when calls fail. Free; changes nothing.
    """


PROCEDURES = Procedure.registered
