"""Whatever people, servers, the network and time do to plans: the three laws of the guard hold after every step.

Up to four servers share a state directory. A crash here unwinds a server out of the middle of a change, and nothing of
its own is recorded any more; the real kill -9 is in test_killed.py. No fault hangs: each answers or cuts a connection.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import httpx2
from aimlops_server.app import build_server
from aimlops_server.audit import verify
from aimlops_server.errors import AimlopsError
from aimlops_server.guard.guard import Guard, Proposal
from aimlops_server.guard.ledger import Entry, Ledger, Status
from aimlops_server.guard.plan import Plan
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import Fault, FaultKind
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID, KOREAN_RELEASE_ID
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_tools import OPERATIONS, Operation
from hypothesis import Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,  # pyright: ignore[reportUnknownVariableType] reason: hypothesis leaves it untyped
)
from mcp_types import ElicitResult

from tests.world import AT_ONCE, ENDPOINT, PASSWORD, PASSWORD_REFERENCE, Clock, create_arguments, make_desk, settings

MAX_SERVERS = 4
TTL_S = 600
STEP_LIMIT_S = 20
UPDATE = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
OPERATIONS_TRIED: list[Operation[Any]] = [
    OPERATIONS[tool].validate_arguments(arguments)
    for tool, arguments in (
        ("create_platform", create_arguments()),
        ("update_platform", UPDATE),
        ("update_platform", {**UPDATE, "ai_ml_ops_platform_endpoint_type": "Private"}),
        ("delete_platform", {"release_id": KOREAN_RELEASE_ID}),
    )
]
FAULTS = (
    Fault(FaultKind.DROP_BEFORE),
    Fault(FaultKind.DROP_AFTER),
    Fault(FaultKind.STATUS, status=503),
    Fault(FaultKind.STATUS, status=409),
    Fault(FaultKind.STATUS_AFTER, status=502),
)
CRASHES = ("before", "after", "looking")
operations = st.sampled_from(OPERATIONS_TRIED)
numbers = st.integers(0, MAX_SERVERS - 1)
ways = st.sampled_from(["form", "stateless form", "page"])


class Crash(BaseException):
    """The process ends here; a BaseException, so that no handler of ours takes it for an error to be told."""


class SleepyClock(Clock):
    """A machine that can fall asleep between any two looks at its clock."""

    looks_left: int = 0

    def __call__(self) -> float:
        self.looks_left -= 1
        if self.looks_left == 0:
            self.now_s += TTL_S
        return self.now_s


@dataclass
class Sent:
    """A change that left, or was about to, and whether the service acted on it."""

    request: tuple[str, str, Any]
    acted: bool = False


class Wire(SandboxTransport):
    """One server's network. Remembers what became of each change, and can end the server on the way."""

    def __init__(self, sandbox: Sandbox, sent: list[Sent]) -> None:
        super().__init__(sandbox)
        self.sandbox = sandbox
        self.sent = sent
        self.crash: str | None = None
        self.blind = False
        self.changed = False
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            if self.changed and self.crash == "looking":
                raise Crash
            if self.changed and self.blind:
                raise httpx2.RemoteProtocolError("cut off", request=request)
            return await super().handle_async_request(request)
        body = request.content.decode().replace(PASSWORD, PASSWORD_REFERENCE)
        sent = Sent((request.method, str(request.url), json.loads(body) if body else None))
        self.sent.append(sent)
        self.changed = True
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        if self.crash == "before":
            raise Crash
        before = self.sandbox.world.platforms()
        try:
            return await super().handle_async_request(request)
        finally:
            sent.acted = any(platform not in before for platform in self.sandbox.world.platforms())
            if self.crash == "after":
                raise Crash


@dataclass(eq=False)
class Server:
    guard: Guard
    wire: Wire
    running: AbstractContextManager[Any]


@dataclass(eq=False)
class Question:
    """A plan in a form, within a call or, with a token, between two calls of the stateless era."""

    server: Server
    proposal: Proposal
    token: str | None = None
    answered: bool = False

    async def answer(self, answer: ElicitResult) -> object:
        if self.token is None:
            return await self.server.guard.decide_by_form(self.proposal, answer)
        return await self.server.guard.answer(self.token, self.proposal.operation.to_wire(), answer)


@dataclass
class People:
    """What people decided, by plan; a yes with what they were shown. No server is asked about it."""

    yes: dict[str, str] = field(default_factory=dict[str, str])
    no: set[str] = field(default_factory=set[str])


class GuardMachine(RuleBasedStateMachine):
    """The rules are what may happen, the invariants the laws."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(anyio.from_thread.start_blocking_portal())
        # What survives a power cut is not tried here, so the disk need not be waited for.
        memory = Path("/dev/shm")  # noqa: S108 reason: mkdtemp makes a name of its own there
        self.state = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.stack.callback(shutil.rmtree, self.state)
        self.clock = SleepyClock()
        self.sandbox = Sandbox(clock_s=lambda: self.clock.now_s)
        self.sent: list[Sent] = []
        self.people = People()
        self.servers: list[Server] = []
        self.questions: list[Question] = []
        self.ledger = Ledger(self.state, self.clock)
        self.stack.callback(lambda: self.portal.call(self.ledger.aclose))

    def teardown(self) -> None:
        for server in list(self.servers):
            self.bury(server)
        assert verify(self.state).ok
        self.stack.close()

    # Servers

    @initialize()
    def two_servers_start(self) -> None:
        self.start()
        self.start()

    @precondition(lambda self: len(self.servers) < MAX_SERVERS)
    @rule()
    def start(self) -> None:
        wire = Wire(self.sandbox, self.sent)
        server = build_server(
            # An address of its own has no neighbours, whose look-ups would be most of the time.
            settings(state_dir=self.state, plan_ttl_s=TTL_S, endpoint=ENDPOINT),
            transport=wire,
            clock_ms=self.clock.ms,
            clock_s=self.clock,
            retries=AT_ONCE,
            settle_waits_s=(0.0,),
            open_browser=lambda _: False,
        )
        running = self.portal.wrap_async_context_manager(server.lifespan(server))
        guard = running.__enter__().changes.guard
        self.servers.append(Server(guard, wire, running))
        self.run(guard.recover)  # a start settles by itself, but says nothing when it has

    @rule(number=numbers)
    def die(self, number: int) -> None:
        self.bury(self.server(number))

    def server(self, number: int) -> Server:
        if not self.servers:
            self.start()
        return self.servers[number % len(self.servers)]

    def bury(self, server: Server) -> None:
        """What the operating system does for a dead process: its lock is free."""
        if server in self.servers:
            self.servers.remove(server)
            self.questions = [question for question in self.questions if question.server is not server]
            server.running.__exit__(None, None, None)

    def run(self, work: Callable[..., Awaitable[Any]], *arguments: Any, on: Server | None = None) -> Any:
        """The result; None for an error that a tool would tell, and for the end of the server it runs `on`."""

        async def bounded() -> Any:
            with anyio.fail_after(STEP_LIMIT_S):
                try:
                    return await work(*arguments)
                except AimlopsError:
                    return None
                except Crash as crash:
                    return crash

        result = self.portal.call(bounded)
        if isinstance(result, Crash):
            assert on
            self.bury(on)
            return None
        return result

    # Plans, decisions, calls

    async def call(self, server: Server, operation: Operation[Any]) -> Proposal | None:
        """A call of a client without forms: what is approved is sent, as the tools do."""
        proposal = await server.guard.propose(operation, reuse=True)
        if isinstance(proposal, Proposal):
            if proposal.entry.status == Status.APPROVED:
                await server.guard.execute(proposal)
            return proposal
        return None

    async def ask(self, server: Server, operation: Operation[Any], way: str) -> Question | None:
        proposal = await server.guard.propose(operation, reuse=False)
        if not isinstance(proposal, Proposal):
            return None
        return Question(server, proposal, None if way == "form" else server.guard.ask(proposal, operation.to_wire()))

    @rule(number=numbers, operation=operations, way=ways)
    def plan(self, number: int, operation: Operation[Any], way: str) -> None:
        server = self.server(number)
        if way == "page":
            self.run(self.call, server, operation, on=server)
        elif question := self.run(self.ask, server, operation, way, on=server):
            self.questions.append(question)

    @precondition(lambda self: any(not question.answered for question in self.questions))
    @rule(number=numbers, yes=st.booleans())
    def answer(self, number: int, *, yes: bool) -> None:
        waiting = [question for question in self.questions if not question.answered]
        self.say(waiting[number % len(waiting)], yes=yes)

    def say(self, question: Question, *, yes: bool) -> None:
        question.answered = True
        self.decided(question.proposal.entry.id, yes=yes)
        plan = question.proposal.plan
        answer = yes_to(plan) if yes else ElicitResult(action="decline")
        self.run(question.answer, answer, on=question.server)

    @precondition(lambda self: any(question.answered for question in self.questions))
    @rule(number=numbers)
    def replay(self, number: int) -> None:
        """A client answers once more for a person who was not asked again."""
        answered = [question for question in self.questions if question.answered]
        question = answered[number % len(answered)]
        self.run(question.answer, yes_to(question.proposal.plan), on=question.server)

    @rule(number=numbers, yes=st.booleans())
    def decide(self, number: int, *, yes: bool) -> None:
        """On the page or in a terminal, about any plan that waits or did a moment ago."""
        if rows := [row for row in self.rows() if row.status == Status.WAITING]:
            self.decide_about(rows[number % len(rows)], yes=yes)

    def decide_about(self, entry: Entry, *, yes: bool) -> None:
        desk = make_desk(self.ledger, self.state, self.clock)
        self.decided(entry.id, yes=yes)
        if yes:
            self.run(desk.approve, entry, Plan.from_json(entry.shown).typed, "terminal")
        else:
            self.run(desk.deny, entry, "terminal")

    def decided(self, plan_id: str, *, yes: bool) -> None:
        entry = next(row for row in self.rows() if row.id == plan_id)
        if entry.status_at(self.clock.now_s) is Status.WAITING:
            if yes:
                self.people.yes[plan_id] = entry.shown
            else:
                self.people.no.add(plan_id)

    @rule(operation=operations)
    def duplicates(self, operation: Operation[Any]) -> None:
        """Every server gets the same call at once, and the plan is approved."""
        self.approve_waiting(self.server(0), operation)

        async def at_once() -> None:
            async def one(server: Server) -> None:
                with contextlib.suppress(AimlopsError):
                    await self.call(server, operation)

            async with anyio.create_task_group() as group:
                for server in self.servers:
                    if server.wire.crash is None and server.wire.meanwhile is None:
                        group.start_soon(one, server)

        self.run(at_once)

    def approve_waiting(self, server: Server, operation: Operation[Any]) -> Proposal | None:
        proposal: Proposal | None = self.run(self.call, server, operation, on=server)
        if proposal and proposal.entry.status == Status.WAITING:
            self.decide_about(proposal.entry, yes=True)
            return proposal
        return None

    @rule(number=numbers, operation=operations, way=ways, trouble=st.sampled_from([*FAULTS, *CRASHES, "blind"]))
    def trouble_on_the_way(self, number: int, operation: Operation[Any], way: str, trouble: Fault | str) -> None:
        """A person says yes, and the change meets a fault, the end of its server, or a service that goes silent."""
        server = self.server(number)
        server.wire.changed = False
        if isinstance(trouble, Fault):
            self.sandbox.faults.add(Fault(trouble.kind, operation.spec.method, status=trouble.status))
        elif trouble == "blind":
            self.sandbox.faults.add(Fault(FaultKind.DROP_AFTER, operation.spec.method))
            server.wire.blind = True
        else:
            server.wire.crash = trouble
        self.go(server, operation, way)
        self.sandbox.faults.clear()
        server.wire.blind = False
        server.wire.crash = None

    def go(self, server: Server, operation: Operation[Any], way: str) -> None:
        if way == "page":
            self.approve_waiting(server, operation)
            if server in self.servers:
                self.run(self.call, server, operation, on=server)
        elif question := self.run(self.ask, server, operation, way, on=server):
            self.questions.append(question)
            self.say(question, yes=True)

    @precondition(lambda self: len(self.servers) > 1)
    @rule(number=numbers, operation=operations, fault=st.sampled_from([None, *FAULTS]))
    def a_call_meanwhile(self, number: int, operation: Operation[Any], fault: Fault | None) -> None:
        """While a change of a platform at rest is out, another server is asked for the same."""
        self.clock.now_s += 7200
        server, other = self.server(number), self.server(number + 1)
        if fault:
            self.sandbox.faults.add(Fault(fault.kind, operation.spec.method, status=fault.status))

        async def meanwhile() -> None:
            with contextlib.suppress(AimlopsError):
                await self.call(other, operation)

        server.wire.meanwhile = meanwhile
        self.go(server, operation, "form")
        server.wire.meanwhile = None
        self.sandbox.faults.clear()

    # Time

    @rule(seconds=st.sampled_from([1, TTL_S - 1, 7200]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(number=numbers, operation=operations, way=ways, looks=st.integers(1, 16))
    def the_machine_sleeps(self, number: int, operation: Operation[Any], way: str, looks: int) -> None:
        """Somewhere between the plan and the sending, for as long as a plan waits."""
        self.clock.looks_left = looks
        self.go(self.server(number), operation, way)
        self.clock.looks_left = 0

    @rule(number=numbers, operation=operations)
    def a_server_stands_still_after_the_yes(self, number: int, operation: Operation[Any]) -> None:
        server = self.server(number)
        if proposal := self.approve_waiting(server, operation):
            self.clock.now_s += TTL_S
            self.run(server.guard.execute, proposal, on=server)

    # The laws

    def rows(self) -> list[Entry]:
        return self.portal.call(self.ledger.latest, 10_000)

    @invariant()
    def no_change_without_a_matching_yes_of_a_person_in_time(self) -> None:
        for row in self.rows():
            if row.started_s is not None:
                assert self.people.yes.get(row.id) == row.shown
                assert row.id not in self.people.no
                assert row.started_s < row.expires_s
            if row.status == Status.APPROVED or row.started_s is not None:
                assert row.decided_s is not None
                assert row.decided_s < row.expires_s

    @invariant()
    def at_most_one_request_for_each_yes(self) -> None:
        """Each change on the wire is the one of its plan, in the order of their starts."""
        assert len(self.sandbox.changes) <= len(self.sent)
        for started, sent in self.by_target():
            assert [request_of(row) for row in started] == [change.request for change in sent]

    @invariant()
    def no_outcome_that_the_service_contradicts(self) -> None:
        for started, sent in self.by_target():
            for row, change in zip(started, sent, strict=True):
                if row.status in {Status.COMMITTED, Status.ABSENT}:
                    assert (row.status, change.acted) in {(Status.COMMITTED, True), (Status.ABSENT, False)}

    def by_target(self) -> list[tuple[list[Entry], list[Sent]]]:
        """Changes of one target never overlap, so their order is the order of their starts."""
        started = sorted((row for row in self.rows() if row.started_s is not None), key=lambda row: row.started_s or 0)
        targets = {request_of(row)[1] for row in started} | {change.request[1] for change in self.sent}
        return [
            (
                [row for row in started if request_of(row)[1] == target],
                [change for change in self.sent if change.request[1] == target],
            )
            for target in targets
        ]


def yes_to(plan: Plan) -> ElicitResult:
    return ElicitResult(action="accept", content=dict(plan.typed) or {"confirm": True})


def request_of(row: Entry) -> tuple[str, str, Any]:
    return row.plan["method"], row.plan["url"], row.plan["body"]


def test_the_laws_of_the_guard_hold() -> None:
    run_state_machine_as_test(
        GuardMachine,
        settings=examples(
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=14,
            stateful_step_count=20,
            phases=[Phase.generate],
            print_blob=False,
        ),
    )
