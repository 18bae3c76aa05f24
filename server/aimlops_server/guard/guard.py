"""The way of a change: plan, ask, check again, send once, read back. There is no other way to the wire.

A question outlives the call that asked it only in the stateless era, where the
client answers in a second call; so every plan waits here under a random token,
is taken out once, and expires.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
from aimlops_tools import Operation
from aimlops_tools.fields import AsyncResponse
from mcp_types import ElicitResult

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, NotSent
from aimlops_server.guard.plan import Plan
from aimlops_server.guard.planning import Planner
from aimlops_server.guard.question import require_yes
from aimlops_server.guard.readback import Observed, observe

log = logging.getLogger(__name__)

QUESTION_TTL_S = 600.0
MAX_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A plan whose question is out."""

    operation: Operation[Any]
    plan: Plan
    expires_s: float


@dataclass(frozen=True, slots=True)
class Done:
    """A change that the service accepted, and what was seen afterwards."""

    plan: Plan
    request_id: str | None
    observed: Observed


class Guard:
    """Holds changes back until a person agrees. `clock_s` is monotonic."""

    def __init__(self, api: ApiClient, planner: Planner, clock_s: Callable[[], float]) -> None:
        self._api = api
        self._planner = planner
        self._clock_s = clock_s
        self._waiting: dict[str, Waiting] = {}
        # Between the last look and the request nothing else of ours may change the platform.
        self._one_at_a_time = anyio.Lock()

    async def plan(self, operation: Operation[Any]) -> Plan:
        """The plan as it stands now, for a dry run. Nobody can approve it."""
        return await self._planner.plan(operation)

    async def propose(self, operation: Operation[Any]) -> tuple[str, Plan]:
        """Plan a change and keep it waiting for its answer; the token takes it out again.

        Raises:
            NotSent: a check whose meaning is certain failed, so nobody need be asked.
        """
        plan = await self._planner.plan(operation)
        if plan.stops:
            reasons = "; ".join(f"{check.name}: {check.detail}" for check in plan.stops)
            raise NotSent(f"A check stopped it before the user was asked: {reasons}.", "correct the arguments")
        now_s = self._clock_s()
        self._waiting = {t: w for t, w in self._waiting.items() if w.expires_s > now_s}
        if len(self._waiting) >= MAX_WAITING:
            raise NotSent("Too many questions are waiting for an answer.", "have the user answer those first")
        token = secrets.token_urlsafe(24)
        self._waiting[token] = Waiting(operation, plan, now_s + QUESTION_TTL_S)
        return token, plan

    def withdraw(self, token: str) -> None:
        """Forget a plan whose question could not be asked or was not answered."""
        self._waiting.pop(token, None)

    async def settle(self, token: str, operation: Operation[Any], answer: ElicitResult) -> Done:
        """Send the change that waits under `token` if the answer is a yes and nothing has changed. Serves once.

        Raises:
            NotSent: no, too late, already used, other arguments, or the platform changed.
            AimlopsError: what happened to the request.
        """
        waiting = self._waiting.pop(token, None)
        if waiting is None:
            raise NotSent("This confirmation was already used, or is not one of this server's.", _START_OVER)
        if self._clock_s() >= waiting.expires_s:
            raise expired()
        if operation != waiting.operation:
            raise NotSent("The arguments are not those that the user was asked about.", _START_OVER)
        require_yes(waiting.plan, answer)
        async with self._one_at_a_time:
            now = await self._planner.plan(operation)
            if now.digest != waiting.plan.digest:
                raise NotSent("Something changed while the user was being asked, so their yes is void.", _START_OVER)
            # Once it leaves, a change is followed to its end even if the caller gives up: the HTTP limits bound it.
            accepted: AsyncResponse | None = None
            with anyio.CancelScope(shield=True):
                accepted = await self._send(operation, now)
        observed = await observe(self._api, operation, accepted)
        return Done(now, accepted.request_id if accepted else None, observed)

    async def _send(self, operation: Operation[Any], plan: Plan) -> AsyncResponse | None:
        name = operation.tool_name()
        log.info("%s: sending %s %s", name, plan.method, plan.url)
        try:
            answer = await self._api.change(operation)
        except AimlopsError as error:
            log.warning("%s: %s (%s)", name, error.happened, error.changed)
            raise
        log.info("%s: accepted", name)
        return answer


_START_OVER = "call the tool again from the start, so that the user sees the present state"


def expired() -> NotSent:
    """The question was not answered in time."""
    return NotSent(f"Nobody answered within {QUESTION_TTL_S / 60:.0f} minutes; the question has expired.", _START_OVER)
