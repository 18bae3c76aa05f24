"""Whatever the network or the service does to a change: one request on the wire, and words that match what happened."""

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from aimlops_server.audit import Reader
from aimlops_server.guard.ledger import Entry, Ledger
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import Fault, FaultKind
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME
from aimlops_server.sandbox.serve import serve
from aimlops_server.sandbox.transport import SandboxTransport
from mcp_types import CallToolResult

from tests.world import Clock, create_arguments, make_sandbox, says, session, text_of

pytestmark = pytest.mark.anyio

CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "create_platform": (create_arguments(), {"confirm": True}),
    "update_platform": (
        {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"},
        {"confirm": True},
    ),
    "delete_platform": ({"release_id": DEPLOYED_RELEASE_ID}, {"release_name": DEPLOYED_RELEASE_NAME}),
}
METHODS = {"create_platform": "POST", "update_platform": "PUT", "delete_platform": "DELETE"}

NOTHING = "nothing was changed"
UNKNOWN = "unknown: the change may or may not have happened"
ACTS: list[Fault] = [
    Fault(FaultKind.DROP_AFTER),
    Fault(FaultKind.TRUNCATED),
    Fault(FaultKind.HTML),
    Fault(FaultKind.HUGE),
    Fault(FaultKind.NOT_JSON),
    Fault(FaultKind.WRONG_SHAPE),
    *(Fault(FaultKind.STATUS_AFTER, status=status) for status in (500, 502, 503, 504)),
]
ACTS_NOT: list[Fault] = [
    Fault(FaultKind.DROP_BEFORE),
    Fault(FaultKind.HANG),
    Fault(FaultKind.REDIRECT),
    *(Fault(FaultKind.STATUS, status=status) for status in (408, 500, 502, 503, 504)),
]
SAID_NO: list[Fault] = [
    *(Fault(FaultKind.STATUS, status=status) for status in (400, 401, 403, 404, 406, 409, 429)),
    Fault(FaultKind.HTML, status=417),
]


def label(value: object) -> str | None:
    return f"{value.kind}-{value.status or ''}" if isinstance(value, Fault) else None


async def change_meets_fault(
    sandbox: Sandbox, clock: Clock, name: str, fault: Fault, **values: Any
) -> tuple[CallToolResult, bool]:
    """The result, and whether the service acted. One change is on the wire, whatever happens."""
    arguments, yes = CHANGES[name]
    before = sandbox.world.platforms()
    sandbox.faults.add(Fault(fault.kind, METHODS[name], status=fault.status))
    with anyio.fail_after(10):
        async with session(sandbox, person=says(yes), clock=clock, read_timeout_s=0.2, **values) as client:
            result = await client.call_tool(name, arguments)
    assert [change.method for change in sandbox.changes] == [METHODS[name]]
    return result, sandbox.world.platforms() != before


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("fault", ACTS, ids=label)
async def test_a_change_whose_answer_is_lost_is_found_committed_by_reading(name: str, fault: Fault) -> None:
    clock = Clock()
    result, acted = await change_meets_fault(make_sandbox(clock), clock, name, fault)

    states = {"create_platform": "CREATING", "update_platform": "UPDATING", "delete_platform": "DELETING"}
    assert (acted, result.is_error) == (True, False), text_of(result)
    data = result.structured_content
    assert data["outcome"] == "committed (confirmed by reading back)"
    assert data["platform"]["release_state"] == states[name]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("fault", ACTS_NOT, ids=label)
async def test_a_lost_change_that_did_not_happen_is_found_absent_by_reading(name: str, fault: Fault) -> None:
    clock = Clock()
    result, acted = await change_meets_fault(make_sandbox(clock), clock, name, fault)

    text = text_of(result)
    assert (acted, result.is_error) == (False, True)
    assert text.startswith(f"{name} failed. The request was sent")
    assert "it has not happened: " in text
    assert text.splitlines()[-2:] == [
        f"Changed: {NOTHING}.",
        "Next: tell the user; call again if they still want it",
    ]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("fault", SAID_NO, ids=label)
async def test_a_refused_change_changed_nothing(name: str, fault: Fault) -> None:
    clock = Clock()
    result, acted = await change_meets_fault(make_sandbox(clock), clock, name, fault)

    assert (acted, result.is_error) == (False, True)
    assert text_of(result).startswith(f"{name} failed. The service answered HTTP {fault.status}")
    assert text_of(result).splitlines()[-2] == f"Changed: {NOTHING}."


@pytest.mark.parametrize("fault", [f for f in (*ACTS, *ACTS_NOT) if f.status is None], ids=label)
async def test_a_lost_answer_on_a_real_connection_is_settled_too(fault: Fault) -> None:
    clock = Clock()
    sandbox = make_sandbox(clock)
    errors: list[tuple[bool, bool]] = []
    async with anyio.create_task_group() as group:
        url: list[str] = []
        listening = anyio.Event()

        def ready(base_url: str) -> None:
            url.append(base_url)
            listening.set()

        group.start_soon(serve, sandbox, "127.0.0.1", 0, ready)
        await listening.wait()
        result, acted = await change_meets_fault(
            sandbox, clock, "create_platform", fault, network=True, endpoint=url[0]
        )
        errors.append((bool(result.is_error), acted))
        group.cancel_scope.cancel()

    assert errors == [(fault in ACTS_NOT, fault in ACTS)]


class ReadsFailAfterwards(SandboxTransport):
    """Once a change has passed, every read fails until told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.sandbox = sandbox

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET":
            self.sandbox.faults.add(Fault(FaultKind.STATUS, "GET", status=500, times=99))
        return await super().handle_async_request(request)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.DROP_BEFORE])
async def test_an_unknown_outcome_holds_the_next_change_back_until_it_is_settled(name: str, kind: FaultKind) -> None:
    """Then what did happen is told without asking or sending, and what did not is asked about anew."""
    clock = Clock()
    sandbox = make_sandbox(clock)
    arguments, yes = CHANGES[name]
    sandbox.faults.add(Fault(kind, METHODS[name]))
    transport = ReadsFailAfterwards(sandbox)
    person = says(yes)
    async with session(sandbox, person=person, clock=clock, transport=transport) as client:
        lost = await client.call_tool(name, arguments)
        held = await client.call_tool(name, arguments)
        asked_by_then, sent_by_then = len(person.asked), len(sandbox.changes)
        sandbox.faults.clear()
        again = await client.call_tool(name, arguments)

    assert text_of(lost).splitlines()[-2] == f"Changed: {UNKNOWN}."
    assert "an earlier change of the same, is still unknown" in text_of(held)
    assert (asked_by_then, sent_by_then) == (1, 1)
    assert not again.is_error, text_of(again)
    happened = kind is FaultKind.DROP_AFTER
    assert (len(person.asked), len(sandbox.changes)) == ((1, 1) if happened else (2, 2))
    outcome = "committed (confirmed by reading back)" if happened else "committed"
    assert again.structured_content["outcome"] == outcome


async def test_a_change_that_another_process_starts_during_the_look_is_not_taken_for_the_lost_one(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    """What the look showed may be the other's work, so nothing is recorded of it."""
    update, yes = CHANGES["update_platform"]
    elsewhere = Ledger(tmp_path, clock)

    class AnotherStarts(ReadsFailAfterwards):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await super().handle_async_request(request)
            if rows and not await elsewhere.get("other"):
                await elsewhere.add(replace(rows[0], id="other", status="approved"))
                assert await elsewhere.start("other", rows[0].digest)
            return response

    rows: list[Entry] = []
    sandbox.faults.add(Fault(FaultKind.DROP_AFTER, "PUT"))
    transport = AnotherStarts(sandbox)
    async with (
        aclosing(elsewhere),
        session(sandbox, person=says(yes), clock=clock, transport=transport, state_dir=tmp_path) as client,
    ):
        await client.call_tool("update_platform", update)
        sandbox.faults.clear()
        rows += await elsewhere.latest()
        held = await client.call_tool("update_platform", update)
        now = {row.id: row.status for row in await elsewhere.latest()}

    assert "still unknown (a later change of the same hides what became of it)" in text_of(held)
    assert now == {rows[0].id: "unknown", "other": "started"}
    assert [found.line.event for found in Reader(tmp_path) if found.line][-1] == "settled"  # as unknown, the first time
    assert len(sandbox.changes) == 1


async def test_a_repeated_create_gets_the_platform_that_its_lost_request_made(sandbox: Sandbox, clock: Clock) -> None:
    arguments, yes = CHANGES["create_platform"]
    sandbox.faults.add(Fault(FaultKind.DROP_AFTER, "POST"))
    async with session(sandbox, person=says(yes), clock=clock) as client:
        first = await client.call_tool("create_platform", arguments)
        clock.now_s += 3600
        second = await client.call_tool("create_platform", arguments)

    ids = [result.structured_content["platform"]["release_id"] for result in (first, second)]
    assert ids[0] == ids[1]
    assert second.structured_content["platform"]["release_state"] == "DEPLOYED"
    assert len(sandbox.changes) == 1


@pytest.mark.parametrize("name", CHANGES)
async def test_a_service_that_cannot_be_reached_changes_nothing(sandbox: Sandbox, clock: Clock, name: str) -> None:
    """The reads before the question fail already, so nobody is asked."""
    arguments, yes = CHANGES[name]
    person = says(yes)
    closed_port = "http://127.0.0.1:9"
    async with session(sandbox, person=person, clock=clock, network=True, endpoint=closed_port) as client:
        result = await client.call_tool(name, arguments)

    text = text_of(result)
    assert text.startswith(f"{name} failed. No connection to {closed_port} (")
    assert text.splitlines()[-2] == f"Changed: {NOTHING}."
    assert person.asked == []


@pytest.mark.parametrize("name", CHANGES)
async def test_a_failed_read_back_does_not_hide_that_the_change_was_accepted(
    sandbox: Sandbox, clock: Clock, name: str
) -> None:
    arguments, yes = CHANGES[name]
    transport = ReadsFailAfterwards(sandbox)
    async with session(sandbox, person=says(yes), clock=clock, transport=transport) as client:
        result = await client.call_tool(name, arguments)

    assert not result.is_error
    data = result.structured_content
    assert (data["sent"], "platform" in data) == (True, False)
    assert data["observed"].startswith("it could not be read back: The service answered HTTP 500; Contact")
    assert len(sandbox.changes) == 1
