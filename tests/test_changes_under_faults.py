"""Whatever the network or the service does to a change: one request on the wire, and words that match what happened."""

from typing import Any

import anyio
import httpx2
import pytest
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import Fault, FaultKind
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME
from aimlops_server.sandbox.serve import serve
from aimlops_server.sandbox.transport import SandboxTransport

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

UNKNOWN = "unknown: the change may or may not have happened"
NOTHING = "nothing was changed"
LOST: list[Fault] = [
    Fault(FaultKind.DROP_BEFORE),
    Fault(FaultKind.DROP_AFTER),
    Fault(FaultKind.HANG),
    Fault(FaultKind.TRUNCATED),
    Fault(FaultKind.HTML),
    Fault(FaultKind.HUGE),
    Fault(FaultKind.NOT_JSON),
    Fault(FaultKind.WRONG_SHAPE),
    Fault(FaultKind.REDIRECT),
    *(Fault(FaultKind.STATUS_AFTER, status=status) for status in (500, 502, 503, 504)),
    *(Fault(FaultKind.STATUS, status=status) for status in (408, 500, 502, 503, 504)),
]
SAID_NO: list[Fault] = [
    *(Fault(FaultKind.STATUS, status=status) for status in (400, 401, 403, 404, 406, 409, 429)),
    Fault(FaultKind.HTML, status=417),
]
FAULTS = [*((fault, UNKNOWN) for fault in LOST), *((fault, NOTHING) for fault in SAID_NO)]


def label(value: object) -> str | None:
    return f"{value.kind}-{value.status or ''}" if isinstance(value, Fault) else None


async def change_meets_fault(sandbox: Sandbox, clock: Clock, name: str, fault: Fault, **values: Any) -> str:
    arguments, yes = CHANGES[name]
    before = sandbox.world.platforms()
    sandbox.faults.add(Fault(fault.kind, METHODS[name], status=fault.status))
    with anyio.fail_after(10):
        async with session(sandbox, person=says(yes), clock=clock, read_timeout_s=0.2, **values) as client:
            result = await client.call_tool(name, arguments)
    assert result.is_error
    acted = sandbox.world.platforms() != before
    text = text_of(result)
    assert [change.method for change in sandbox.changes] == [METHODS[name]]
    if NOTHING in text:
        assert not acted
    return text


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize(("fault", "changed"), FAULTS, ids=label)
async def test_a_fault_leaves_one_request_and_true_words(name: str, fault: Fault, changed: str) -> None:
    clock = Clock()
    text = await change_meets_fault(make_sandbox(clock), clock, name, fault)

    assert text.startswith(f"{name} failed. The ")
    assert text.splitlines()[-2] == f"Changed: {changed}."


@pytest.mark.parametrize("fault", [f for f in LOST if f.status is None], ids=label)
async def test_a_fault_on_a_real_connection_leaves_one_request_and_true_words(fault: Fault) -> None:
    clock = Clock()
    sandbox = make_sandbox(clock)
    text = ""
    async with anyio.create_task_group() as group:
        url: list[str] = []
        listening = anyio.Event()

        def ready(base_url: str) -> None:
            url.append(base_url)
            listening.set()

        group.start_soon(serve, sandbox, "127.0.0.1", 0, ready)
        await listening.wait()
        text = await change_meets_fault(sandbox, clock, "create_platform", fault, network=True, endpoint=url[0])
        group.cancel_scope.cancel()

    assert text.splitlines()[-2] == f"Changed: {UNKNOWN}."
    assert "do not call again yet" in text.splitlines()[-1]


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
    class ReadsFailAfterwards(SandboxTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await super().handle_async_request(request)
            if request.method != "GET":
                sandbox.faults.add(Fault(FaultKind.STATUS, "GET", status=500, times=9))
            return response

    arguments, yes = CHANGES[name]
    transport = ReadsFailAfterwards(sandbox)
    async with session(sandbox, person=says(yes), clock=clock, transport=transport) as client:
        result = await client.call_tool(name, arguments)

    assert not result.is_error
    data = result.structured_content
    assert (data["sent"], "platform" in data) == (True, False)
    assert data["observed"].startswith("it could not be read back: The service answered HTTP 500; Contact")
    assert len(sandbox.changes) == 1
