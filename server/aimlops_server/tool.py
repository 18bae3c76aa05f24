"""An operation as an MCP tool: schema, hints, call, result. One path for all of them, in both protocol eras."""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import anyio
from aimlops_tools import OPERATIONS, Effect, Operation
from aimlops_tools.fields import Check, Listing, Paged
from aimlops_tools.models.platforms import CreatePlatform
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
    ElicitRequestURLParams,
    ElicitResult,
    InputRequests,
    InputRequiredResult,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError

from aimlops_server import logs
from aimlops_server.arguments import parse_arguments
from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, InvalidArguments, NotSent, UnknownState
from aimlops_server.guard.approvals import Approvals
from aimlops_server.guard.guard import Done, Guard, Proposal
from aimlops_server.guard.ledger import Status
from aimlops_server.guard.question import question

# From this revision on a question travels in the call's result and the answer in a second call.
STATELESS_ERA = "2026-07-28"
QUESTION_KEY = "confirm"
# The state of a call whose question was a link to the approval page: the plan is found by its content.
ON_PAGE = "page"
MAX_ITEMS_SHOWN = 100

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


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of one server."""

    api: ApiClient
    guard: Guard
    approvals: Approvals
    offered: Mapping[str, type[Operation[Any]]]
    confirm: Literal["auto", "page", "refuse"]
    approval_wait_s: float

    async def call(
        self, ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Run one call. An expected failure is a result with is_error; an unknown tool or state is a protocol error."""
        operation_class = self.offered.get(params.name)
        if operation_class is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {plain(params.name, 80)}")
        logs.call_id.set(secrets.token_hex(4))
        try:
            arguments = dict(params.arguments or {})
            if operation_class.spec.effect is Effect.READ:
                return await self._read(parse_arguments(operation_class, arguments))
            return await self._change(ctx, params, operation_class, arguments)
        except UnknownState as error:
            # The protocol wants such a state rejected with an error of its own, not with a result.
            raise MCPError(INVALID_PARAMS, error.explain(params.name)) from None
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
        answer = _answer_to_question(params)
        if params.request_state not in {None, ON_PAGE} and answer is not None:
            return _done(await self.guard.answer(params.request_state or "", operation, answer))
        by_form = self.confirm == "auto" and _why_no_form(ctx) is None and not _needs_page(operation)
        proposal = await self.guard.propose(operation, reuse=not by_form)
        if isinstance(proposal, Done):
            return _done(proposal)
        if by_form:
            return await self._by_form(ctx, proposal)
        if self.confirm == "refuse":
            await self.guard.give_up(proposal, "SCP_MCP_CONFIRM=refuse")
            raise NotSent(
                f"This server shows plans only (SCP_MCP_CONFIRM=refuse). The plan was:\n{proposal.plan.preview()}",
                "tell the user",
            )
        return await self._on_page(ctx, proposal, answer)

    async def _by_form(
        self, ctx: ServerRequestContext[Any], proposal: Proposal
    ) -> CallToolResult | InputRequiredResult:
        """Ask in the client's own form: within this call, or, in the stateless era, as this call's result."""
        await self.guard.shown(proposal, "form")
        form = question(proposal.plan)
        if ctx.protocol_version >= STATELESS_ERA:
            requests: InputRequests = {QUESTION_KEY: ElicitRequest(params=form)}
            return InputRequiredResult(input_requests=requests, request_state=self.guard.ask(proposal))
        # The SDK sets no limit of its own.
        answer: ElicitResult | None = None
        try:
            with anyio.move_on_after(self.guard.ttl_s):
                answer = await ctx.session.elicit_form(form.message, form.requested_schema, ctx.request_id)
        except (MCPError, ValidationError):
            await self.guard.give_up(proposal, "the client failed to ask")
            raise NotSent("The client could not ask the user, or its answer was malformed.", "tell the user") from None
        if answer is None:
            await self.guard.give_up(proposal, "nobody answered")
            raise self.guard.expired()
        return _done(await self.guard.decide_by_form(proposal, answer))

    async def _on_page(
        self, ctx: ServerRequestContext[Any], proposal: Proposal, answer: ElicitResult | None
    ) -> CallToolResult | InputRequiredResult:
        """Ask on the approval page or in a terminal: wait for a while, then let the assistant call again."""
        entry = proposal.entry
        if entry.status != Status.APPROVED:
            found = f"scp-aimlops-mcp approve {entry.id}, in a terminal of this machine"
            if answer is not None and answer.action != "accept":
                raise NotSent(f"The user did not open the page of plan {entry.id}.", _LATER.format(found=found))
            if answer is None and _can_open_urls(ctx):
                return await self._offer_link(ctx, proposal)
            if answer is not None or await self.approvals.open(entry.id):
                found = f"the page in the user's browser, or {found}"
            elif proposal.plan.asks_password:
                raise NotSent(
                    "initial_user_password was left out, and there is no browser here to ask the user for it.",
                    "give a reference, env:SCP_MCP_SECRET_<NAME> or file:<name>, which the user sets up",
                )
            await self.guard.shown(proposal, "page")
            status = await self.guard.decision(
                entry, self.approval_wait_s, _progress(ctx, self.approval_wait_s, entry.id)
            )
            if status is not Status.APPROVED:
                raise _undecided(proposal, status, found, _why_no_form(ctx))
        return _done(await self.guard.execute(proposal))

    async def _offer_link(
        self, ctx: ServerRequestContext[Any], proposal: Proposal
    ) -> CallToolResult | InputRequiredResult:
        """Let the client show the link to the user, not to the model. Accepting means opened, not approved."""
        link = await self.approvals.link(proposal.entry.id)
        message = f"Approve or deny plan {proposal.entry.id} on this page: {proposal.plan.headline}"
        if ctx.protocol_version >= STATELESS_ERA:
            url = ElicitRequestURLParams(message=message, url=link, elicitation_id=proposal.entry.id)
            return InputRequiredResult(input_requests={QUESTION_KEY: ElicitRequest(params=url)}, request_state=ON_PAGE)
        answer = ElicitResult(action="cancel")
        try:
            with anyio.move_on_after(self.approval_wait_s):
                answer = await ctx.session.elicit_url(message, link, proposal.entry.id, ctx.request_id)
        except (MCPError, ValidationError):
            pass
        return await self._on_page(ctx, proposal, answer)


_LATER = "the user can still decide with {found}; then call again with the same arguments"


def _answer_to_question(params: CallToolRequestParams) -> ElicitResult | None:
    answer = (params.input_responses or {}).get(QUESTION_KEY)
    return answer if params.request_state is not None and isinstance(answer, ElicitResult) else None


def _needs_page(operation: Operation[Any]) -> bool:
    """A password is typed on the page alone: a form's answer passes through the client."""
    return isinstance(operation, CreatePlatform) and not operation.secret_references()


def _undecided(proposal: Proposal, status: Status, found: str, why_no_form: str | None) -> NotSent:
    plan_id = proposal.entry.id
    match status:
        case Status.WAITING:
            why = f" This client cannot show the user a form: {why_no_form}." if why_no_form else ""
            return NotSent(
                f"Plan {plan_id} awaits the user's approval. They find it with {found}.{why} The plan:\n"
                f"{proposal.plan.preview()}",
                "tell the user, and call again with the same arguments once they have decided",
            )
        case Status.DENIED:
            return NotSent(f"The user denied plan {plan_id}.", "respect it: do not call again unless they ask for it")
        case Status.EXPIRED:
            return NotSent(f"Plan {plan_id} expired before anyone decided.", "call again if the user still wants it")
        case _:
            return NotSent(f"Plan {plan_id} was already used.", "look at what it did before you call again")


def _progress(ctx: ServerRequestContext[Any], total_s: float, plan_id: str) -> Callable[[float], Awaitable[None]]:
    async def tell(waited_s: float) -> None:
        await ctx.session.report_progress(waited_s, total_s, f"plan {plan_id} awaits the user's approval")

    return tell


def _can_open_urls(ctx: ServerRequestContext[Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    way_back = ctx.protocol_version >= STATELESS_ERA or ctx.session.can_send_request
    return elicitation is not None and elicitation.url is not None and way_back


def _why_no_form(ctx: ServerRequestContext[Any]) -> str | None:
    """Why this client cannot show a form now; None when it can. A bare `elicitation: {}` means forms."""
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return "it does not declare MCP form elicitation"
    if ctx.protocol_version < STATELESS_ERA and not ctx.session.can_send_request:
        return "its connection cannot carry a question"
    return None


def describe(offered: Mapping[str, type[Operation[Any]]]) -> list[Tool]:
    """What `tools/list` answers."""
    return [_describe(operation) for operation in offered.values()]


def offered_operations(*, read_only: bool) -> dict[str, type[Operation[Any]]]:
    """The operations that become tools."""
    return {n: o for n, o in OPERATIONS.items() if not read_only or o.spec.effect is Effect.READ}


@cache
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
    data: dict[str, Any] = {
        "sent": True,
        "outcome": "committed (confirmed by reading back)" if done.settled else "committed",
        "plan_id": done.entry_id,
        "observed": done.observed.words,
        "next": _TELL if gone else _FOLLOW,
    }
    if done.undo:
        data["undo"] = done.undo
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
