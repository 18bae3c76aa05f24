"""What `tools/list` answers: an operation or a procedure as an MCP tool."""

from collections.abc import Iterable
from functools import cache
from typing import Any, cast

from aimlops_tools import Effect, Operation
from aimlops_tools.fields import Check, Listing
from aimlops_tools.models.platforms import CreatePlatform
from aimlops_tools.procedure import Procedure
from aimlops_tools.schema import answer_schema, request_schema
from mcp_types import Tool, ToolAnnotations

_DRY_RUN = {"type": "boolean", "default": False, "description": "Return the exact plan, send no change"}
_LISTING_EXTRA = {"page": {"type": "integer"}, "next": {"type": "string"}}
_CHANGE_RESULT = {
    "type": "object",
    "properties": {
        "sent": {"type": "boolean"},
        "outcome": {"type": "string"},
        "plan_id": {"type": "string"},
        "undo": {"type": "object"},
        "plan": {"type": "object"},
        "observed": {"type": "string"},
        "platform": {"type": "object"},
        "request_id": {"type": "string"},
        "next": {"type": "string"},
    },
    "required": ["sent", "next"],
}

Call = type[Operation[Any]] | type[Procedure[Any]]


def describe(offered: Iterable[Call]) -> list[Tool]:
    """The tools, as they are listed."""
    return [_operation(call) if issubclass(call, Operation) else _procedure(call) for call in offered]


@cache
def _operation(operation: type[Operation[Any]]) -> Tool:
    effect = operation.spec.effect
    schema = request_schema(operation)
    answer = operation.answer()
    if effect is Effect.READ and answer is not None:
        output = answer_schema(answer)
        if issubclass(operation, Check):
            output["properties"]["meaning"] = {"type": "string"}
            output["required"].append("meaning")
        if issubclass(answer, Listing):
            output["properties"] |= _LISTING_EXTRA
    else:
        schema["properties"]["dry_run"] = _DRY_RUN
        output = _CHANGE_RESULT
    if operation is CreatePlatform:
        # What an assistant does not know is asked of the user: a field that must be there would be made up.
        schema = _without_required(schema)
    return Tool(
        name=operation.tool_name(),
        title=operation.title(),
        description=_description(operation),
        input_schema=schema,
        output_schema=output,
        annotations=ToolAnnotations(
            read_only_hint=effect is Effect.READ,
            # An update replaces what was there: the endpoint that people use, a DNS record.
            destructive_hint=effect in {Effect.UPDATE, Effect.DELETE},
            # A second create is a second platform; a second update may be a second DNS record.
            idempotent_hint=effect in {Effect.READ, Effect.DELETE},
            open_world_hint=True,
        ),
    )


@cache
def _procedure(procedure: type[Procedure[Any]]) -> Tool:
    return Tool(
        name=procedure.tool_name(),
        title=procedure.title(),
        description=_description(procedure),
        input_schema=request_schema(procedure),
        output_schema=answer_schema(procedure.answer()),
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
    )


def _description(call: Call) -> str:
    return " ".join((call.__doc__ or "").split())


def _without_required(schema: dict[str, Any]) -> dict[str, Any]:
    relaxed = {key: value for key, value in schema.items() if key != "required"}
    if "properties" in relaxed:
        inner = cast("dict[str, dict[str, Any]]", relaxed["properties"])
        relaxed["properties"] = {name: _without_required(field) for name, field in inner.items()}
    return relaxed
