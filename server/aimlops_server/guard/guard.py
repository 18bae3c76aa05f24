"""The way of a change: plan, ask, check again, record, send once, find out. There is no other way to the wire.

Every step goes into the ledger and the audit log. What cannot be recorded is
not sent; what was sent and not answered is settled by reading, never repeated.
"""

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from aimlops_tools import OPERATIONS, Operation
from aimlops_tools.fields import AsyncResponse
from aimlops_tools.models.platforms import CreatePlatform
from mcp_types import ElicitResult
from pydantic import JsonValue, SecretStr

from aimlops_server.audit import AuditFailed, AuditLog
from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, InvalidArguments, NotApplied, NotSent, OutcomeUnknown, UnknownState
from aimlops_server.guard.desk import record_yes
from aimlops_server.guard.ledger import Entry, Ledger, LedgerUnavailable, Status
from aimlops_server.guard.outcome import DEPLOYED, Observed, Outcome, find_out, observe
from aimlops_server.guard.plan import Plan
from aimlops_server.guard.planning import TYPED_ON_PAGE, Planner, target_of
from aimlops_server.guard.question import require_yes
from aimlops_server.guard.undo import undo_create
from aimlops_server.in_flight import InFlight
from aimlops_server.vault import Vault

log = logging.getLogger(__name__)

# A lost answer is looked for after these waits: a create shows up in the list within moments, or not at all.
SETTLE_WAITS_S = (0.0, 1.0, 2.0, 4.0)
DECISION_POLL_S = 0.3

_START_OVER = "call the tool again from the start, so that the user sees the present state"


@dataclass(frozen=True, slots=True)
class Done:
    """A change that happened, and what was seen afterwards. `settled`: concluded by reading, the answer was lost."""

    entry_id: str
    observed: Observed
    request_id: str | None = None
    undo: dict[str, Any] | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A planned change on record, waiting for its decision, or decided already."""

    entry: Entry
    plan: Plan
    operation: Operation[Any]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that is out, and the arguments of the call that it came from."""

    proposal: Proposal
    given: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """Holds changes back until a person agrees. `clock_s` is Unix seconds."""

    api: ApiClient
    planner: Planner
    ledger: Ledger
    audit: AuditLog
    vault: Vault
    clock_s: Callable[[], float]
    ttl_s: float
    in_flight: InFlight
    settle_waits_s: Sequence[float] = SETTLE_WAITS_S
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    # Questions that are out in the stateless era, where the answer comes with a second call: a token each, taken once.
    _asked: dict[str, "_Asked"] = field(default_factory=dict[str, "_Asked"])
    # Between the last look and the request nothing else of ours may change the platform.
    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)

    async def plan(self, operation: Operation[Any]) -> Plan:
        """The plan as it stands now, for a dry run. Nobody can approve it."""
        return await self.planner.plan(operation)

    async def propose(self, operation: Operation[Any], *, reuse: bool) -> Proposal | Done:
        """Plan a change and put it on record. With `reuse`, the plan that already waits for the same is taken.

        Done at once when the very same change was sent before, its answer was lost, and it turns out to have happened.

        Raises:
            NotSent: a certain check failed; or an earlier change of the same is not settled; or it was denied.
        """
        if done := await self._settle_earlier(operation):
            return done
        plan = await self.planner.plan(operation)
        if plan.stops and (done := await self._made_by_lost_request(plan, operation)):
            return done
        if plan.stops:
            reasons = "; ".join(f"{check.name}: {check.detail}" for check in plan.stops)
            raise NotSent(f"A check stopped it before the user was asked: {reasons}.", "correct the arguments")
        await self.vault.resolve(operation.secret_references())  # told now, not after the user was asked
        if reuse and (known := await self._known(plan, operation)):
            return known
        now_s = self.clock_s()
        entry = Entry(
            id=_plan_id(),
            tool=operation.tool_name(),
            target=plan.target,
            request_digest=plan.request_digest,
            digest=plan.digest,
            asker=plan.asker,
            endpoint=plan.where.endpoint,
            account=plan.where.account,
            arguments=json.dumps(operation.to_wire(), ensure_ascii=False),
            shown=plan.to_json(),
            preview=plan.preview(),
            created_s=now_s,
            expires_s=now_s + self.ttl_s,
        )
        await self._record("planned", entry, headline=plan.headline, digest=plan.digest, request=_request(plan))
        await self.ledger.add(entry)
        return Proposal(entry, plan, operation)

    async def _known(self, plan: Plan, operation: Operation[Any]) -> Proposal | None:
        """The plan for the very same request that still waits, is approved, or was denied a moment ago."""
        for entry in await self.ledger.of_request(plan.request_digest):
            status = entry.status_at(self.clock_s())
            if status is Status.DENIED and self.clock_s() < entry.expires_s:
                raise NotSent(f"The user denied plan {entry.id}.", "respect it: do not call again unless they ask")
            if status in {Status.WAITING, Status.APPROVED} and entry.digest == plan.digest:
                return Proposal(entry, plan, operation)
        return None

    async def _settle_earlier(self, operation: Operation[Any]) -> Done | None:
        """An earlier change of the same target comes first: this one waits until its outcome is known."""
        done: Done | None = None
        where = self.planner.where(operation)
        for entry in await self.ledger.unsettled(where.endpoint, where.account, target_of(operation)):
            if await self.ledger.in_flight(entry):
                raise _being_sent(entry)
            outcome = await self.settle(entry)
            live = outcome.observed.platform
            # A platform at rest is not being changed by it any more: the next plan shows what it is now.
            at_rest = live is not None and live.release_state.upper() == DEPLOYED
            if outcome.status is Status.UNKNOWN and not at_rest:
                raise NotSent(
                    f"The outcome of plan {entry.id}, an earlier change of the same, is still unknown "
                    f"({outcome.observed.words}).",
                    "look with get_platform or list_platforms, and tell the user; try again later",
                )
            if outcome.status is Status.COMMITTED and json.loads(entry.arguments) == operation.to_wire():
                undo = _undo(Plan.from_json(entry.shown), operation, outcome.observed)
                done = Done(entry.id, outcome.observed, None, undo, settled=True)
        return done

    async def _made_by_lost_request(self, plan: Plan, operation: Operation[Any]) -> Done | None:
        """The platform whose name is taken because an earlier, lost request for the very same made it."""
        if not isinstance(operation, CreatePlatform):
            return None
        for entry in await self.ledger.of_request(plan.request_digest):
            if entry.status == Status.COMMITTED and entry.request_id is None:
                observed = await observe(self.api, operation, None)
                return Done(entry.id, observed, None, _undo(plan, operation, observed), settled=True)
        return None

    async def settle(self, entry: Entry) -> Outcome:
        """Find out what became of a change whose process died or whose answer was lost, and record it."""
        if entry.status == Status.STARTED:
            await self.ledger.finish(entry.id, Status.UNKNOWN, "its process ended before the answer came")
            await self._note("found_unknown", entry)
            log.warning("plan %s (%s) was sent by a process that died; its outcome is unknown", entry.id, entry.tool)
        plan = Plan.from_json(entry.shown)
        operation = OPERATIONS[entry.tool].validate_arguments(json.loads(entry.arguments))
        outcome = await find_out(self.api, operation, plan.live, self.settle_waits_s, self.sleep)
        if await self.ledger.settle(entry.id, outcome.status, outcome.observed.words):
            await self._note("settled", entry, outcome=outcome.status, observed=outcome.observed.words)
            return outcome
        now = await self.ledger.get(entry.id)
        if now is not None and now.status in {Status.COMMITTED, Status.ABSENT}:  # another process was faster
            return Outcome(Status(now.status), outcome.observed)
        return Outcome(Status.UNKNOWN, Observed("a later change of the same hides what became of it"))

    async def recover(self) -> None:
        """Report changes that a dead process left behind as unknown, and settle them."""
        where = self.planner.where(None)
        for entry in await self.ledger.unsettled(where.endpoint, where.account):
            if await self.ledger.in_flight(entry):
                continue
            outcome = await self.settle(entry)
            log.warning("plan %s: %s (%s)", entry.id, outcome.status, outcome.observed.words)

    def ask(self, proposal: Proposal, given: dict[str, Any]) -> str:
        """A token for a question that is answered by a second call with the same arguments. It serves once."""
        now_s = self.clock_s()
        for token in [token for token, asked in self._asked.items() if asked.proposal.entry.expires_s <= now_s]:
            del self._asked[token]
        token = secrets.token_urlsafe(24)
        self._asked[token] = _Asked(proposal, given)
        return token

    async def answer(self, token: str, given: dict[str, Any], answer: ElicitResult) -> Done:
        """Take the answer to the question that is out under `token`.

        Raises:
            UnknownState: the token was used or is not ours.
            NotSent: it stands for other arguments, or the answer is not a yes.
        """
        asked = self._asked.pop(token, None)
        if asked is None:
            raise UnknownState("This confirmation was already used, or is not one of this server's.", _START_OVER)
        if given != asked.given:
            raise NotSent("The arguments are not those that the user was asked about.", _START_OVER)
        return await self.decide_by_form(asked.proposal, answer)

    async def decide_by_form(self, proposal: Proposal, answer: ElicitResult) -> Done:
        """A person's answer in the client's form, recorded, and the change sent if it is a yes."""
        entry = proposal.entry
        if entry.status_at(self.clock_s()) is Status.EXPIRED:
            await self._note("expired", entry)
            raise self.expired()
        try:
            require_yes(proposal.plan, answer)
        except NotSent as no:
            await self.ledger.decide(entry.id, approve=False, by="form")
            await self._note("declined", entry, by="form", how=no.happened)
            raise
        if not await record_yes(self.ledger, self.audit, entry, "form"):
            raise NotSent(f"Plan {entry.id} was decided elsewhere, or has expired.", _START_OVER)
        return await self.execute(proposal)

    async def shown(self, proposal: Proposal, where: str) -> None:
        """The plan is before a person now."""
        await self._note("shown", proposal.entry, where=where)

    async def give_up(self, proposal: Proposal, why: str) -> None:
        """A question that could not be asked or was not answered: nobody can approve this plan any more."""
        if await self.ledger.decide(proposal.entry.id, approve=False, by=why):
            await self._note("declined", proposal.entry, by=why)

    async def decision(self, entry: Entry, wait_s: float, tell: Callable[[float], Awaitable[None]]) -> Status:
        """Wait for a person's decision on the page or in a terminal; `tell` hears of each second that passes."""
        waited_s = 0.0
        while True:
            now = await self.ledger.get(entry.id)
            status = now.status_at(self.clock_s()) if now else Status.EXPIRED
            if status is Status.EXPIRED:
                await self._note("expired", entry)
            if status is not Status.WAITING or waited_s >= wait_s:
                return status
            await self.sleep(DECISION_POLL_S)
            waited_s += DECISION_POLL_S
            await tell(waited_s)

    async def execute(self, proposal: Proposal) -> Done:
        """Send an approved change: once, if nothing that the person saw has changed.

        Raises:
            NotSent: something changed, the approval was used or has expired, or it cannot be recorded.
            NotApplied, OutcomeUnknown: it was sent, and its answer was lost.
            AimlopsError: what else happened to the request.
        """
        entry, operation = proposal.entry, proposal.operation
        async with self._one_at_a_time:
            if done := await self._settle_earlier(operation):
                return done
            plan = await self.planner.plan(operation)
            if plan.digest != entry.digest:
                await self._note("void", entry, why="what was shown has changed")
                raise NotSent("Something changed while the user was being asked, so their yes is void.", _START_OVER)
            sent, values = await self._with_secrets(entry, plan, operation)
            # From here the change is followed to its end even if the caller gives up: the HTTP limits bound it.
            done: Done | None = None
            with anyio.CancelScope(shield=True), self.in_flight.one():
                if not await self.ledger.start(entry.id, entry.digest):
                    raise await self._not_started(entry)
                done = await self._send(entry, plan, sent, values)
        return done or Done(entry.id, Observed("it was sent"))

    async def _not_started(self, entry: Entry) -> NotSent:
        for other in await self.ledger.unsettled(entry.endpoint, entry.account, entry.target):
            if other.status == Status.STARTED and other.id != entry.id:
                return _being_sent(other)
        return NotSent(f"The approval of plan {entry.id} was already used, or has expired.", _START_OVER)

    async def _send(self, entry: Entry, plan: Plan, operation: Operation[Any], values: dict[str, SecretStr]) -> Done:
        try:
            await self._record("started", entry, request=_request(plan))
        except AuditFailed:
            await self.ledger.finish(entry.id, Status.ABSENT, "it could not be recorded, so it was not sent")
            raise
        log.info("plan %s: sending %s %s", entry.id, plan.method, plan.url)
        try:
            answer: AsyncResponse | None = await self.api.change(operation, values)
        except OutcomeUnknown as lost:
            return await self._answer_lost(entry, plan, operation, lost)
        except AimlopsError as error:
            await self._conclude(entry, Status.ABSENT, error.happened)
            await self._note("refused", entry, happened=error.happened)
            raise
        request_id = answer.request_id if answer else None
        await self._conclude(entry, Status.COMMITTED, "accepted", request_id)
        await self._note("accepted", entry, request_id=request_id)
        observed = await observe(self.api, operation, answer)
        await self._note("read_back", entry, observed=observed.words)
        return Done(entry.id, observed, request_id, _undo(plan, operation, observed))

    async def _answer_lost(self, entry: Entry, plan: Plan, operation: Operation[Any], lost: OutcomeUnknown) -> Done:
        await self._note("answer_lost", entry, happened=lost.happened)
        try:
            outcome = await self.settle(entry)  # until then its row says started, which holds others back
        except LedgerUnavailable:
            raise OutcomeUnknown(f"{lost.happened} What became of it cannot be recorded.", lost.next_step) from None
        seen = outcome.observed
        if outcome.status is Status.COMMITTED:
            return Done(entry.id, seen, None, _undo(plan, operation, seen), settled=True)
        if outcome.status is Status.ABSENT:
            raise NotApplied(
                f"{lost.happened} Looked for {len(self.settle_waits_s)} times afterwards, it has not happened: "
                f"{seen.words}.",
                "tell the user; call again if they still want it",
            )
        raise OutcomeUnknown(f"{lost.happened} Looking did not settle it: {seen.words}.", lost.next_step)

    async def _with_secrets(
        self, entry: Entry, plan: Plan, operation: Operation[Any]
    ) -> tuple[Operation[Any], dict[str, SecretStr]]:
        """The operation as it is sent, and the values of its references. What was typed is forgotten here."""
        if plan.asks_password and isinstance(operation, CreatePlatform):
            typed = self.vault.take_typed(entry.id)
            if typed is None:
                raise InvalidArguments(
                    "initial_user_password: it was not typed on this server's approval page.",
                    "give a reference, env:SCP_MCP_SECRET_<NAME> or file:<name>, or have the user approve on the page",
                )
            return operation.with_password_reference(TYPED_ON_PAGE), {TYPED_ON_PAGE: typed}
        return operation, await self.vault.resolve(operation.secret_references())

    def expired(self) -> NotSent:
        """The question was not answered in time."""
        return NotSent(f"Nobody answered within {self.ttl_s / 60:g} minutes; the question has expired.", _START_OVER)

    async def _record(self, event: str, entry: Entry, **facts: JsonValue) -> None:
        """A step that must be on record before the next."""
        await self.audit.append(event, entry.id, tool=entry.tool, target=entry.target, asker=entry.asker, **facts)

    async def _conclude(self, entry: Entry, outcome: Status, observed: str, request_id: str | None = None) -> None:
        """What the answer said. A failure to record it must not hide it: the row stays started, and is looked into."""
        try:
            await self.ledger.finish(entry.id, outcome, observed, request_id)
        except LedgerUnavailable as error:
            log.error("plan %s: %s was not recorded: %s", entry.id, outcome, error.happened)  # noqa: TRY400 reason: no trace

    async def _note(self, event: str, entry: Entry, **facts: JsonValue) -> None:
        """A step that has happened: a failure to record it must not hide it."""
        try:
            await self._record(event, entry, **facts)
        except AuditFailed as error:
            log.error("plan %s: %s was not recorded: %s", entry.id, event, error.happened)  # noqa: TRY400 reason: no trace


def _being_sent(entry: Entry) -> NotSent:
    return NotSent(
        f"Plan {entry.id}, another change of the same, is being sent right now.",
        "wait, look at its result, and call again if the user still wants this",
    )


def _request(plan: Plan) -> dict[str, JsonValue]:
    return {"method": plan.method, "url": plan.url, "body": json.loads(json.dumps(plan.body))}


def _undo(plan: Plan, operation: Operation[Any], observed: Observed) -> dict[str, Any] | None:
    if isinstance(operation, CreatePlatform):
        return undo_create(observed.platform.release_id) if observed.platform else None
    return dict(plan.undo) if plan.undo else None


def _plan_id() -> str:
    """Short, to be read out and typed: no letter or digit that looks like another."""
    letters = "".join(secrets.choice("23456789BCDFGHJKMNPQRSTVWXYZ") for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
