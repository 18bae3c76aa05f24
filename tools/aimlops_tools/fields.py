"""Each field that more than one declaration uses, once: its type, limits and description."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, SerializationInfo

from aimlops_tools.operation import Answer, Arguments, Operation
from aimlops_tools.text import Text

ItemT = TypeVar("ItemT", bound=Answer)

# The literal paths beside {release_id}: as an id they would reach another operation (facts, trap 24).
RESERVED_IDS = frozenset({"images", "check-duplication", "clusters", "internal"})


def _not_reserved(release_id: str) -> str:
    if release_id in RESERVED_IDS:
        raise ValueError(f"{release_id!r} is another operation's path, not an id")
    return release_id


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _resolved(reference: str, info: SerializationInfo) -> str:
    secrets = cast("dict[str, Mapping[str, SecretStr] | None]", info.context or {}).get("secrets")
    return reference if secrets is None else secrets[reference].get_secret_value()


ReleaseId = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="Platform id, from list_platforms"),
    AfterValidator(_not_reserved),
]
# The service answers 400 to anything else: "32-letter UUID format" (facts 5).
ClusterId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$", description="Kubernetes cluster id, 32 hex digits")]
HostedZoneId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
ReleaseName = Annotated[str, Field(min_length=1, description="Platform name")]
Size = Annotated[int, Field(ge=1, le=100, description="Items per page")]
Page = Annotated[int, Field(ge=0, description="Page, from 0")]
Sort = Annotated[str, Field(min_length=1, description="field:asc or field:desc")]
ProductType = Literal["Enterprise", "Mini"]
# Only the lower-case spelling passes the live check (facts 5); the reference's example is "Enterprise".
CheckedProductType = Annotated[
    Literal["enterprise", "mini"], BeforeValidator(_lower), Field(description="Product type to be installed")
]
EndpointType = Literal["Public", "Private"]
Secret = Annotated[
    str,
    Field(pattern=r"^(env:SCP_MCP_SECRET_[A-Z0-9_]{1,64}|file:[A-Za-z0-9][A-Za-z0-9._-]{0,99})$"),
    PlainSerializer(_resolved, return_type=str),
]


class Paged(Arguments):
    """The three paging arguments of the lists, with the reference's defaults."""

    size: Size = 20
    page: Page = 0
    sort: Sort = "created_dt:desc"


class Listing(Answer, Generic[ItemT]):
    """An answer that holds a page of items; the API has two envelopes for it (facts, trap 15)."""

    items_field: ClassVar[str]

    @property
    def items(self) -> tuple[ItemT, ...]:
        raise NotImplementedError

    @property
    def total(self) -> int:
        raise NotImplementedError


class Contents(Listing[ItemT], Generic[ItemT]):
    """The envelope of platforms and images."""

    items_field = "contents"

    contents: tuple[ItemT, ...]
    total_count: int

    @property
    def items(self) -> tuple[ItemT, ...]:
        return self.contents

    @property
    def total(self) -> int:
        return self.total_count


class AsyncResponse(Answer):
    """A change was accepted. No operation looks a request_id up (facts 5)."""

    project_id: Text
    request_id: Text
    resource_id: Text


class CheckResponse(Answer):
    """The answer of the four checks; what true means differs by check."""

    result: bool


class Check(Operation[CheckResponse]):
    """An operation that answers yes or no. Only the duplicate check's meaning is documented (facts 5)."""

    true_means: ClassVar[str]
    false_means: ClassVar[str]
    documented: ClassVar[bool] = False

    @classmethod
    def meaning(cls, result: bool) -> str:
        words = cls.true_means if result else cls.false_means
        return words if cls.documented else f"{words} (inferred: the API does not document it)"
