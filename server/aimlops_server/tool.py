"""An operation as an MCP tool: schema, hints, call, result. One path for all of them, in both protocol eras."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import anyio
from aimlops_tools import OPERATIONS, Effect, Operation
from aimlops_tools.fields import Check, Listing, Paged
from aimlops_tools.operation import Answer
from aimlops_tools.schema import answer_schema, request_schema
from aimlops_tools.text import plain
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError

from aimlops_server.arguments import parse_arguments
from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, InvalidArguments, NotSent
from aimlops_server.guard.guard import QUESTION_TTL_S, Done, Guard, expired
from aimlops_server.guard.plan import Plan
from aimlops_server.guard.question import question

# From this revision on a question travels in the call's result and the answer in a second call.
STATELESS_ERA = "2026-07-28"
QUESTION_KEY = "confirm"
MAX_ITEMS_SHOWN = 100

_DRY_RUN = {"type": "boolean", "default": False, "description": "Return the exact plan, send no change"}
_LISTING_EXTRA = {"page": {"type": "integer"}, "next": {"type": "string"}}
_CHANGE_RESULT = {
    "type": "object",
    "properties": {
        "sent": {"type": "boolean"},
        "plan": {"type": "object"},
        "observed": {"type": "string"},
        "platform": {"type": "object"},
        "request_id": {"type": "string"},
        "next": {"type": "string"},
    },
    "required": ["sent", "next"],
}


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of one server."""

    api: ApiClient
    guard: Guard
    offered: Mapping[str, type[Operation[Any]]]

    async def call(
        self, ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Run one call. An expected failure is a result with is_error; an unknown tool is a protocol error."""
        operation_class = self.offered.get(params.name)
        if operation_class is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {plain(params.name, 80)}")
        try:
            arguments = dict(params.arguments or {})
            if operation_class.spec.effect is Effect.READ:
                return await self._read(parse_arguments(operation_class, arguments))
            return await self._change(ctx, params, operation_class, arguments)
        except AimlopsError as error:
            return CallToolResult(content=[_text(error.explain(params.name))], is_error=True)

    async def _read(self, operation: Operation[Any]) -> CallToolResult:
        answer = cast("Answer", await self.api.read(operation))
        data = _as_data(answer)
        if isinstance(operation, Check):
            data["meaning"] = operation.meaning(bool(data["result"]))
        if isinstance(answer, Listing):
            data |= _paging(operation, cast("Listing[Any]", answer))
        return _result(data)

    async def _change(
        self,
        ctx: ServerRequestContext[Any],
        params: CallToolRequestParams,
        operation_class: type[Operation[Any]],
        arguments: dict[str, Any],
    ) -> CallToolResult | InputRequiredResult:
        dry_run = arguments.pop("dry_run", False)
        if not isinstance(dry_run, bool):
            raise InvalidArguments("dry_run: must be true or false.", "correct the arguments and call again")
        operation = parse_arguments(operation_class, arguments)
        if dry_run:
            plan = await self.guard.plan(operation)
            return _result(
                {
                    "sent": False,
                    "plan": plan.shown(),
                    "next": "correct what stops it" if plan.stops else "call again without dry_run; the user is asked",
                }
            )
        if params.request_state is not None and (answer := (params.input_responses or {}).get(QUESTION_KEY)):
            if not isinstance(answer, ElicitResult):
                raise NotSent("The answer is not one to the question that was asked.", "call again from the start")
            return _done(await self.guard.settle(params.request_state, operation, answer))
        token, plan = await self.guard.propose(operation)
        try:
            if reason := _why_not_askable(ctx):
                raise NotSent(
                    f"{reason}, and nothing is changed without asking. The plan was:\n{plan.preview()}",
                    "tell the user; a client that supports MCP form elicitation can ask them",
                )
            form = question(plan)
            if ctx.protocol_version >= STATELESS_ERA:
                waiting, token = token, ""
                return InputRequiredResult(
                    input_requests={QUESTION_KEY: ElicitRequest(params=form)}, request_state=waiting
                )
            return _done(await self.guard.settle(token, operation, await _ask(ctx, form)))
        finally:
            self.guard.withdraw(token)


async def _ask(ctx: ServerRequestContext[Any], form: ElicitRequestFormParams) -> ElicitResult:
    """Ask within the call, as the handshake era does. The SDK sets no limit of its own."""
    try:
        with anyio.fail_after(QUESTION_TTL_S):
            return await ctx.session.elicit_form(form.message, form.requested_schema, ctx.request_id)
    except TimeoutError:
        raise expired() from None
    except (MCPError, ValidationError):
        raise NotSent("The client could not ask the user, or its answer was malformed.", "tell the user") from None


def _why_not_askable(ctx: ServerRequestContext[Any]) -> str | None:
    """Why this client cannot show a form now; None when it can. A bare `elicitation: {}` means forms."""
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return "This client cannot show the user a form (it does not declare MCP form elicitation)"
    if ctx.protocol_version < STATELESS_ERA and not ctx.session.can_send_request:
        return "This connection cannot carry a question to the user"
    return None


def describe(offered: Mapping[str, type[Operation[Any]]]) -> list[Tool]:
    """What `tools/list` answers."""
    return [_describe(operation) for operation in offered.values()]


def offered_operations(*, read_only: bool) -> dict[str, type[Operation[Any]]]:
    """The operations that become tools."""
    return {n: o for n, o in OPERATIONS.items() if not read_only or o.spec.effect is Effect.READ}


def _describe(operation: type[Operation[Any]]) -> Tool:
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
    return Tool(
        name=operation.tool_name(),
        title=operation.title(),
        description=" ".join((operation.__doc__ or "").split()),
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


def _as_data(answer: Answer) -> dict[str, Any]:
    """The answer without empty fields, and no more than MAX_ITEMS_SHOWN items even if the service ignores `size`."""
    data = answer.model_dump(mode="json", exclude_none=True)
    if isinstance(answer, Listing):
        listing = cast("Listing[Any]", answer)
        data[listing.items_field] = cast("Sequence[Any]", data.get(listing.items_field, []))[:MAX_ITEMS_SHOWN]
    return data


def _paging(operation: Operation[Any], listing: Listing[Any]) -> dict[str, Any]:
    if not isinstance(operation, Paged):
        return {"page": 0}
    count = len(listing.items)
    more = count > 0 and operation.page * operation.size + count < listing.total
    paging: dict[str, Any] = {"page": operation.page}
    if more:
        paging["next"] = f"call {operation.tool_name()} again with page={operation.page + 1} and the same arguments"
    if count > MAX_ITEMS_SHOWN:
        paging["next"] = (
            f"the service sent {count} items at once, the first {MAX_ITEMS_SHOWN} are here: narrow the filter"
        )
    return paging


def _done(done: Done) -> CallToolResult:
    gone = done.observed.gone
    data: dict[str, Any] = {"sent": True, "observed": done.observed.words, "next": _TELL if gone else _FOLLOW}
    if done.request_id:
        data["request_id"] = done.request_id
    if done.observed.platform:
        data["platform"] = _as_data(done.observed.platform)
    return _result(data)


_FOLLOW = "the service goes on in the background: follow it with get_platform, every 30 s at most"


_TELL = "tell the user that it is done"


def _result(data: dict[str, Any]) -> CallToolResult:
    """Structured content and the same as compact JSON text."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(content=[_text(text)], structured_content=data)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


__all__ = ["Plan", "Tools", "describe", "offered_operations"]
