"""From a tool call's arguments to a request, or to an error that names each field and says what is right there.

No given value is repeated: it may be a password in the wrong place.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from aimlops_tools import Operation
from aimlops_tools.schema import request_schema
from aimlops_tools.text import plain
from pydantic import ValidationError

from aimlops_server.errors import InvalidArguments

MAX_PROBLEMS = 8

OperationT = TypeVar("OperationT", bound=Operation[Any])


def parse_arguments(operation: type[OperationT], arguments: dict[str, Any]) -> OperationT:
    """The request that these arguments make.

    Raises:
        InvalidArguments: they make none.
    """
    try:
        return operation.validate_arguments(arguments)
    except ValidationError as error:
        schema = request_schema(operation)
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [_describe(problem["loc"], problem["type"], problem["msg"], schema) for problem in problems]
        rest = len(lines) - MAX_PROBLEMS
        text = "; ".join(lines[:MAX_PROBLEMS]) + (f"; and {rest} more" if rest > 0 else "")
        raise InvalidArguments(f"Invalid arguments: {text}.", "correct the arguments and call again") from None


def _describe(loc: Sequence[int | str], kind: str, message: str, schema: dict[str, Any]) -> str:
    path = plain(".".join(map(str, loc)), 120) or "arguments"
    if kind == "extra_forbidden":
        known = ", ".join(_at(schema, loc[:-1]).get("properties", {}))
        return f"{path}: there is no such argument; there are: {known}"
    if kind == "string_unicode":
        return f"{path}: half a character cannot be sent"
    if kind == "value_error":
        return f"{path}: {message.removeprefix('Value error, ')}"
    right = _right_form(_at(schema, loc))
    return f"{path}: required, {right}" if kind == "missing" else f"{path}: must be {right}"


def _at(schema: dict[str, Any], loc: Sequence[int | str]) -> dict[str, Any]:
    for step in loc:
        inner = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
        schema = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    return schema


_KINDS = {"string": "a text", "integer": "a whole number", "boolean": "true or false", "array": "a list"}


def _right_form(schema: dict[str, Any]) -> str:
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
