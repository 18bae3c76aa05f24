"""From a tool call's arguments to a request, or to an error that names each field and says what is right there.

No given value is repeated: it may be a password in the wrong place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

from aimlops_tools.operation import Arguments
from aimlops_tools.schema import request_schema
from aimlops_tools.text import plain
from pydantic import ValidationError

from aimlops_server.errors import InvalidArguments

MAX_PROBLEMS = 8

ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field; `is_missing`: it is not there."""

    path: str
    words: str
    is_missing: bool


def parse_arguments(wanted: type[ArgumentsT], arguments: dict[str, Any]) -> ArgumentsT:
    """The request, or the call, that these arguments make.

    Raises:
        InvalidArguments: they make none.
    """
    try:
        return wanted.model_validate(arguments)
    except ValidationError as error:
        # What is wrong comes before what is missing: it must not be behind "and 9 more".
        lines = [problem.words for problem in sorted(_problems(wanted, error), key=lambda problem: problem.is_missing)]
        rest = len(lines) - MAX_PROBLEMS
        text = "; ".join(lines[:MAX_PROBLEMS]) + (f"; and {rest} more" if rest > 0 else "")
        raise InvalidArguments(f"Invalid arguments: {text}.", "correct the arguments and call again") from None


def problems_of(wanted: type[Arguments], arguments: dict[str, Any]) -> list[Problem]:
    """What keeps these arguments from making the request; nothing when they make it."""
    try:
        wanted.model_validate(arguments)
    except ValidationError as error:
        return _problems(wanted, error)
    return []


def _problems(wanted: type[Arguments], error: ValidationError) -> list[Problem]:
    schema = schema_of(wanted)
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [_describe(problem["loc"], problem["type"], problem["msg"], schema) for problem in problems]


@cache
def schema_of(wanted: type[Arguments]) -> dict[str, Any]:
    """The schema of what may be given, made when it is first needed. To read, not to change."""
    return request_schema(wanted)


def _describe(loc: Sequence[int | str], kind: str, message: str, schema: dict[str, Any]) -> Problem:
    path = plain(".".join(map(str, loc)), 120) or "arguments"
    if kind == "extra_forbidden":
        known = ", ".join(field_schema(schema, loc[:-1]).get("properties", {}))
        words = "there is no such argument; " + (f"there are: {known}" if known else "none is taken here")
    elif kind == "string_unicode":
        words = "half a character cannot be sent"
    elif kind == "value_error":
        words = message.removeprefix("Value error, ")
    else:
        right = right_form(field_schema(schema, loc))
        words = f"required, {right}" if kind == "missing" else f"must be {right}"
    return Problem(path, f"{path}: {words}", kind == "missing")


def field_schema(schema: dict[str, Any], loc: Sequence[int | str]) -> dict[str, Any]:
    """The part of a schema that describes one field; empty when there is none."""
    for step in loc:
        inner = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
        schema = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    return schema


_KINDS = {"string": "a text", "integer": "a whole number", "boolean": "true or false", "array": "a list"}


def right_form(schema: dict[str, Any]) -> str:
    """What a field takes, in words."""
    words = _KINDS.get(schema.get("type", ""), "an object")
    if choices := schema.get("enum"):
        words = "one of " + ", ".join(map(str, choices))
    if "minimum" in schema:
        words += f" from {schema['minimum']}" + (f" to {schema['maximum']}" if "maximum" in schema else "")
    if "minLength" in schema:
        words += (
            f" of {schema['minLength']} to {schema['maxLength']} characters" if "maxLength" in schema else ", not empty"
        )
    if "pattern" in schema:
        words += f" like {schema['pattern']}"
    return words + (f" ({schema['description']})" if "description" in schema else "")
