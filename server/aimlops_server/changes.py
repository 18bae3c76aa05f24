"""The way of a change's call: what is missing is asked, then the whole is shown, and sent on a person's yes.

A client asks in its own forms: within the call, or in the stateless era as the call's result, where the answer comes
with a second call. Without forms the person decides on the approval page or in a terminal.
"""

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
from aimlops_tools import Operation
from aimlops_tools.models.platforms import CreatePlatform
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequests,
    InputRequiredResult,
)
from pydantic import ValidationError

from aimlops_server.arguments import parse_arguments, problems_of
from aimlops_server.client import ApiClient
from aimlops_server.draft import Draft, gaps_error, has_gaps
from aimlops_server.errors import AimlopsError, InvalidArguments, NotSent, UnknownState
from aimlops_server.guard.approvals import Approvals
from aimlops_server.guard.guard import Done, Guard, Proposal
from aimlops_server.guard.ledger import Status
from aimlops_server.guard.question import question
from aimlops_server.results import as_data, result

# From this revision on a question travels in the call's result and the answer in a second call.
STATELESS_ERA = "2026-07-28"
QUESTION_KEY = "confirm"
# The state of a call whose question was a link to the approval page: the plan is found by its content.
ON_PAGE = "page"

Context = ServerRequestContext[Any]
Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """The calls that change something, of one server."""

    api: ApiClient
    guard: Guard
    approvals: Approvals
    confirm: Literal["auto", "page", "refuse"]
    approval_wait_s: float
    approve_command: str
    # Creates whose next form is out in the stateless era, with the time when they are forgotten: each taken once.
    _drafts: dict[str, tuple[Draft, float]] = field(default_factory=dict[str, tuple[Draft, float]])

    async def call(
        self,
        ctx: Context,
        params: CallToolRequestParams,
        operation_class: type[Operation[Any]],
        arguments: Arguments,
    ) -> CallToolResult | InputRequiredResult:
        """One call: a plan, a question, or what came of the change.

        Raises:
            AimlopsError: why it was not sent, or what became of it.
        """
        dry_run = arguments.pop("dry_run", False)
        if not isinstance(dry_run, bool):
            raise InvalidArguments("dry_run: must be true or false.", "correct the arguments and call again")
        is_create = operation_class is CreatePlatform
        if dry_run:
            if is_create and problems_of(CreatePlatform, arguments) and has_gaps(arguments):
                raise gaps_error(arguments, "a dry run asks nobody")
            return await self._dry_run(parse_arguments(operation_class, arguments))
        state, answer = params.request_state, _answer_to_question(params)
        is_draft = is_create and state is not None and state.startswith(_DRAFT)
        if answer is not None and state is not None and state != ON_PAGE and not is_draft:
            return _done(await self.guard.answer(state, arguments, answer))
        if not is_create:
            return await self._propose(ctx, parse_arguments(operation_class, arguments), arguments, answer)
        if answer is not None and state is not None and is_draft:
            draft = self._taken(state, arguments)
            if draft.asked:
                draft.take(answer)
                answer = None
        else:
            draft = Draft(arguments, self.api, self.guard.planner.say)
        return await self._create(ctx, draft, answer)

    async def _dry_run(self, operation: Operation[Any]) -> CallToolResult:
        plan = await self.guard.plan(operation)
        step = "correct what stops it" if plan.stops else "call again without dry_run; the user is asked"
        return result({"sent": False, "plan": plan.shown(), "next": step})

    async def _create(
        self, ctx: Context, draft: Draft, answer: ElicitResult | None
    ) -> CallToolResult | InputRequiredResult:
        """Ask for what is missing, form by form, then propose the whole."""
        # Once begun, a draft is asked to its end: what alone is no gap is asked for with the rest, in both eras.
        if draft.arguments != draft.given or has_gaps(draft.arguments):
            if not self._has_forms(ctx):
                raise gaps_error(draft.arguments, self._why_not_asked(ctx))
            while form := await draft.form(ctx.protocol_version):
                if ctx.protocol_version >= STATELESS_ERA:
                    return _required(ElicitRequest(params=form), self._keep(draft))
                draft.take(await self._elicit(ctx, form))
        operation = parse_arguments(CreatePlatform, draft.arguments)
        try:
            return await self._propose(ctx, operation, draft.given, answer, draft)
        except AimlopsError as error:
            if draft.arguments != draft.given:
                # A waiting plan is found by its content, and nobody wants to fill in the forms again.
                chosen = json.dumps(draft.arguments, ensure_ascii=False, separators=(",", ":"))
                error.next_step += f". With what the user chose, the arguments are: {chosen}"
            raise

    async def _propose(
        self,
        ctx: Context,
        operation: Operation[Any],
        given: Arguments,
        answer: ElicitResult | None,
        draft: Draft | None = None,
    ) -> CallToolResult | InputRequiredResult:
        by_form = self._has_forms(ctx) and not _needs_page(operation)
        proposal = await self.guard.propose(operation, reuse=not by_form)
        if isinstance(proposal, Done):
            return _done(proposal)
        if by_form:
            return await self._by_form(ctx, proposal, given)
        if self.confirm == "refuse":
            await self.guard.give_up(proposal, "SCP_MCP_CONFIRM=refuse")
            raise NotSent(
                f"This server shows plans only (SCP_MCP_CONFIRM=refuse). The plan was:\n{proposal.plan.preview()}",
                "tell the user",
            )
        return await self._on_page(ctx, proposal, answer, draft)

    async def _by_form(
        self, ctx: Context, proposal: Proposal, given: Arguments
    ) -> CallToolResult | InputRequiredResult:
        await self.guard.shown(proposal, "form")
        form = question(proposal.plan)
        if ctx.protocol_version >= STATELESS_ERA:
            return _required(ElicitRequest(params=form), self.guard.ask(proposal, given))
        try:
            answer = await self._elicit(ctx, form)
        except NotSent as failed:
            await self.guard.give_up(proposal, failed.happened)
            raise
        return _done(await self.guard.decide_by_form(proposal, answer))

    async def _elicit(self, ctx: Context, form: ElicitRequestFormParams) -> ElicitResult:
        """Ask within the call. The SDK sets no limit of its own."""
        try:
            with anyio.fail_after(self.guard.ttl_s):
                return await ctx.session.elicit_form(form.message, form.requested_schema, ctx.request_id)
        except TimeoutError:
            raise self.guard.expired() from None
        except (MCPError, ValidationError):
            raise NotSent("The client could not ask the user, or its answer was malformed.", "tell the user") from None

    async def _on_page(
        self, ctx: Context, proposal: Proposal, answer: ElicitResult | None, draft: Draft | None
    ) -> CallToolResult | InputRequiredResult:
        """Ask on the approval page or in a terminal: wait for a while, then let the assistant call again."""
        entry = proposal.entry
        if entry.status != Status.APPROVED:
            found = f"{self.approve_command} {entry.id}, in a terminal of this machine"
            if answer is not None and answer.action != "accept":
                raise NotSent(f"The user did not open the page of plan {entry.id}.", _LATER.format(found=found))
            if answer is None and _can_open_urls(ctx):
                return await self._offer_link(ctx, proposal, draft)
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
        self, ctx: Context, proposal: Proposal, draft: Draft | None
    ) -> CallToolResult | InputRequiredResult:
        """Let the client show the link to the user, not to the model. Accepting means opened, not approved."""
        link = await self.approvals.link(proposal.entry.id)
        message = f"Approve or deny plan {proposal.entry.id} on this page: {proposal.plan.headline}"
        if ctx.protocol_version >= STATELESS_ERA:
            url = ElicitRequestURLParams(message=message, url=link, elicitation_id=proposal.entry.id)
            was_filled_in = draft is not None and draft.arguments != draft.given
            return _required(ElicitRequest(params=url), self._keep(draft) if draft and was_filled_in else ON_PAGE)
        answer = ElicitResult(action="cancel")
        try:
            with anyio.move_on_after(self.approval_wait_s):
                answer = await ctx.session.elicit_url(message, link, proposal.entry.id, ctx.request_id)
        except (MCPError, ValidationError):
            pass
        return await self._on_page(ctx, proposal, answer, draft)

    def _has_forms(self, ctx: Context) -> bool:
        return self.confirm == "auto" and _why_no_form(ctx) is None

    def _why_not_asked(self, ctx: Context) -> str:
        if self.confirm != "auto":
            return f"SCP_MCP_CONFIRM={self.confirm} allows no form"
        return f"this client cannot show the user a form ({_why_no_form(ctx)})"

    def _keep(self, draft: Draft) -> str:
        """The state under which the next call finds the draft."""
        now_s = self.guard.clock_s()
        for state in [state for state, (_, expires_s) in self._drafts.items() if expires_s <= now_s]:
            del self._drafts[state]
        state = _DRAFT + secrets.token_urlsafe(24)
        self._drafts[state] = (draft, now_s + self.guard.ttl_s)
        return state

    def _taken(self, state: str, given: Arguments) -> Draft:
        draft, expires_s = self._drafts.pop(state, (None, 0.0))
        if draft is None:
            raise UnknownState("This form was already answered, or is not one of this server's.", _AGAIN)
        if expires_s <= self.guard.clock_s():
            raise self.guard.expired()
        if draft.given != given:
            raise NotSent("The arguments are not those that the user was asked about.", _AGAIN)
        return draft


_DRAFT = "draft:"
_AGAIN = "call the tool again from the start"


def _required(request: ElicitRequest, state: str) -> InputRequiredResult:
    requests: InputRequests = {QUESTION_KEY: request}
    return InputRequiredResult(input_requests=requests, request_state=state)


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


def _progress(ctx: Context, total_s: float, plan_id: str) -> Callable[[float], Awaitable[None]]:
    async def tell(waited_s: float) -> None:
        await ctx.session.report_progress(waited_s, total_s, f"plan {plan_id} awaits the user's approval")

    return tell


def _can_open_urls(ctx: Context) -> bool:
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    way_back = ctx.protocol_version >= STATELESS_ERA or ctx.session.can_send_request
    return elicitation is not None and elicitation.url is not None and way_back


def _why_no_form(ctx: Context) -> str | None:
    """Why this client cannot show a form now; None when it can. A bare `elicitation: {}` means forms."""
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return "it does not declare MCP form elicitation"
    if ctx.protocol_version < STATELESS_ERA and not ctx.session.can_send_request:
        return "its connection cannot carry a question"
    return None


_FOLLOW = (
    'the service goes on in the background: wait_for_platform tells when it is done (until="deleted" for a delete)'
)


def _done(done: Done) -> CallToolResult:
    gone = done.observed.gone
    data: dict[str, Any] = {
        "sent": True,
        "outcome": "committed (confirmed by reading back)" if done.settled else "committed",
        "plan_id": done.entry_id,
        "observed": done.observed.words,
        "next": "tell the user that it is done" if gone else _FOLLOW,
    }
    if done.undo:
        data["undo"] = done.undo
    if done.request_id:
        data["request_id"] = done.request_id
    if done.observed.platform:
        data["platform"] = as_data(done.observed.platform)
    return result(data)
