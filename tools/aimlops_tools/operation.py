"""What an operation is: the class is the request, and everything else derives from it.

`@operation` gives a class its wire facts and puts it in OPERATIONS. The tool's
name and title come from the class's name, its description from the docstring,
its arguments from the fields; the place of each field on the wire (path, query
or body) follows from the path template and the method.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Generic, Self, TypeVar, cast
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator

API_VERSIONS = ("1.0", "1.1", "1.2")
PRODUCT = "aimlops-platform"


class Effect(StrEnum):
    """What an operation does to the account. Hints, guard and retries follow from it."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class UnsupportedField(ValueError):
    """A field is set that the chosen API version does not have."""

    def __init__(self, path: str, since: str, version: str) -> None:
        super().__init__(
            f"{path}: exists from API version {since} on, and this server uses {version}; "
            f"leave it out, or set SCP_API_VERSION={since}"
        )


class SecretMark:
    """Marks a field that holds a reference to a secret, never the secret."""


class Since(str):
    """Marks a request field with the API version that brought it."""


class Arguments(BaseModel):
    """A request, or a part of one. Unknown fields are refused; an empty string or null means "leave out"."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, value: object) -> object:
        # The reference writes "" for "no value" and the service wants such fields absent (facts, trap 9).
        if not isinstance(value, dict):
            return value
        given = cast("dict[str, object]", value)
        return {k: v for k, v in given.items() if k not in cls.model_fields or (v is not None and v != "")}

    @field_validator("*")
    @classmethod
    def _can_be_written(cls, value: object) -> object:
        # Python's JSON readers let through what no request can carry.
        try:
            _ = json.dumps(value, ensure_ascii=False, allow_nan=False, default=repr).encode()
        except (ValueError, RecursionError):
            raise ValueError("half a character, NaN, or too long a number cannot be sent") from None
        return value

    def to_wire(self, secrets: Mapping[str, SecretStr] | None = None) -> dict[str, Any]:
        """The set fields under their wire names. References to secrets stay, or are replaced from `secrets`."""
        return self.model_dump(mode="json", exclude_none=True, context={"secrets": secrets})

    def secret_references(self) -> list[str]:
        """The references to secrets in this request."""
        found: list[str] = []
        for name, info in type(self).model_fields.items():
            value: object = getattr(self, name)
            if isinstance(value, str) and any(isinstance(m, SecretMark) for m in info.metadata):
                found.append(value)
            elif isinstance(value, Arguments):
                found += value.secret_references()
        return found

    def refuse_newer_fields(self, version: str, path: str = "") -> None:
        """Raise UnsupportedField when a set field is newer than `version`."""
        for name, info in type(self).model_fields.items():
            value: object = getattr(self, name)
            if value is None:
                continue
            since = next((m for m in info.metadata if isinstance(m, Since)), None)
            if since is not None and _as_numbers(version) < _as_numbers(since):
                raise UnsupportedField(f"{path}{name}", since, version)
            if isinstance(value, Arguments):
                value.refuse_newer_fields(version, f"{path}{name}.")


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class Answer(BaseModel):
    """A part of what the service answers. Unknown fields are dropped, so a newer service still reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request as it goes out: `target` is the path and the encoded query, byte for byte."""

    method: str
    target: str
    version: str
    body: bytes | None = field(default=None, repr=False)  # may hold a password
    service: str = PRODUCT
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """The wire facts of one operation. `source` is its section in the vendor's reference.

    `service` is the first label of its host; an `is_global` service has one host for all regions.
    """

    method: str
    path: str
    effect: Effect
    versions: tuple[str, ...]
    status: int
    source: str
    service: str = PRODUCT
    is_global: bool = False

    @property
    def path_names(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))

    def version(self, configured: str) -> str:
        """The API version to say: the configured one, or this operation's own when it has no such version.

        A neighbouring service's version is what this server was told or has discovered.
        """
        return configured if configured in self.versions or self.service != PRODUCT else self.versions[-1]


AnswerT_co = TypeVar("AnswerT_co", bound=Answer | None, covariant=True)
DeclaredT = TypeVar("DeclaredT", bound="Operation[Any]")


class Tool(Arguments):
    """What becomes a tool: named by its class, its answer the class that a subclass gives in brackets."""

    @classmethod
    def tool_name(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def title(cls) -> str:
        return cls.tool_name().replace("_", " ").capitalize()

    @classmethod
    def _in_brackets(cls) -> Any:
        for base in cls.__mro__:
            given = base.__dict__.get("__pydantic_generic_metadata__", {"args": ()})["args"]
            if given:
                return given[0]
        raise TypeError(f"{cls.__name__} names no answer: give it in brackets after the class it is made from")


class Operation(Tool, Generic[AnswerT_co]):
    """One call of the API: an instance is the request, `AnswerT_co` what a success answers (None: an empty body)."""

    spec: ClassVar[Spec]

    @classmethod
    def answer(cls) -> type[Answer] | None:
        """The class that `AnswerT_co` stands for, None for an empty body."""
        given = cls._in_brackets()
        return None if given in {None, type(None)} else given

    def wire(self, configured_version: str, secrets: Mapping[str, SecretStr] | None = None) -> WireRequest:
        """The exact request; without `secrets` their references stand in it.

        Raises:
            UnsupportedField: a field is set that this API version does not have.
        """
        version = self.spec.version(configured_version)
        self.refuse_newer_fields(version)
        values = self.to_wire(secrets)
        target = self.spec.path
        for name in self.spec.path_names:
            target = target.replace("{" + name + "}", quote(str(values.pop(name)), safe=""))
        if self.spec.method in {"POST", "PUT"}:
            body = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
            return WireRequest(self.spec.method, target, version, body, self.spec.service, self.spec.is_global)
        query = urlencode({k: _query_text(v) for k, v in values.items()}, quote_via=quote, safe="")
        target = f"{target}?{query}" if query else target
        return WireRequest(self.spec.method, target, version, None, self.spec.service, self.spec.is_global)

    def shown_body(self) -> dict[str, Any] | None:
        """The body a person may see: references in place of secrets. None when the request has no body."""
        if self.spec.method not in {"POST", "PUT"}:
            return None
        values = self.to_wire()
        return {k: v for k, v in values.items() if k not in self.spec.path_names}

    @classmethod
    def validate_arguments(cls, arguments: dict[str, Any]) -> Self:
        """The request for these arguments; raises pydantic's ValidationError."""
        return cls.model_validate(arguments)


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


OPERATIONS: dict[str, type[Operation[Any]]] = {}


def operation(
    method: str,
    path: str,
    *,
    effect: Effect,
    source: str,
    status: int = 200,
    versions: tuple[str, ...] = API_VERSIONS,
) -> Callable[[type[DeclaredT]], type[DeclaredT]]:
    """Declare the decorated class as the operation `method path` of the API."""

    def declare(cls: type[DeclaredT]) -> type[DeclaredT]:
        cls.spec = Spec(method, path, effect, versions, status, source)
        if cls.tool_name() in OPERATIONS:
            raise TypeError(f"{cls.tool_name()} is declared twice")
        OPERATIONS[cls.tool_name()] = cls
        return cls

    return declare
