"""Clients that cannot show a form: the plan waits for the page or a terminal, and the assistant calls again."""

import logging
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from aimlops_server.app import sandbox_server
from aimlops_server.guard.desk import Desk
from aimlops_server.guard.ledger import Entry, Ledger
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME
from mcp import Client
from mcp_types import CallToolResult, ElicitRequestURLParams, ElicitResult

from tests.world import (
    NO_CERTIFICATES,
    PASSWORD,
    Clock,
    Person,
    agrees,
    create_arguments,
    make_desk,
    says,
    session,
    settings,
    text_of,
)

pytestmark = pytest.mark.anyio

DELETE = {"release_id": DEPLOYED_RELEASE_ID}
UPDATE = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
RIGHT_NAME = {"release_name": DEPLOYED_RELEASE_NAME}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@asynccontextmanager
async def other_process(state: Path, clock: Clock) -> AsyncGenerator[tuple[Ledger, Desk]]:
    """The ledger as another process of the same user opens it: a terminal's."""
    ledger = Ledger(state, clock)
    try:
        yield ledger, make_desk(ledger, state, clock)
    finally:
        await ledger.aclose()


async def only_plan(ledger: Ledger) -> Entry:
    (entry,) = await ledger.latest()
    return entry


async def error(client: Client, name: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error, text_of(result)
    return text_of(result).partition(" The plan:")[0]


async def test_an_approved_plan_is_sent_by_the_same_call_made_again(
    sandbox: Sandbox, clock: Clock, era: str, state: Path
) -> None:
    async with (
        session(sandbox, era, clock=clock, state_dir=state) as client,
        other_process(state, clock) as (ledger, desk),
    ):
        first = await error(client, "delete_platform", DELETE)
        still = await error(client, "delete_platform", DELETE)
        entry = await only_plan(ledger)
        assert sandbox.changes == ()
        await desk.approve(entry, RIGHT_NAME, "terminal")
        done = await client.call_tool("delete_platform", DELETE)
        again = await client.call_tool("delete_platform", DELETE)

    waiting = (
        f"delete_platform was not sent. Plan {entry.id} awaits the user's approval. They find it with scp-aimlops-mcp "
        f"approve {entry.id}, in a terminal of this machine. This client cannot show the user a form: it does not "
        "declare MCP form elicitation."
    )
    assert (first, still) == (waiting, waiting)
    assert (done.is_error, done.structured_content["plan_id"]) == (False, entry.id)
    assert again.is_error  # a new plan, which nobody approved
    assert [change.method for change in sandbox.changes] == ["DELETE"]


async def test_a_call_goes_on_by_itself_when_it_is_approved_while_it_waits(
    sandbox: Sandbox, clock: Clock, era: str, state: Path
) -> None:
    messages: list[str | None] = []
    result = CallToolResult(content=[])

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        messages.append(message)

    with anyio.fail_after(20):
        async with (
            session(sandbox, era, clock=clock, state_dir=state, approval_wait_s=15) as client,
            other_process(state, clock) as (ledger, desk),
            anyio.create_task_group() as group,
        ):

            async def approve() -> None:
                while not (waiting := await ledger.latest()):
                    await anyio.lowlevel.checkpoint()
                await desk.approve(waiting[0], RIGHT_NAME, "terminal")

            group.start_soon(approve)
            result = await client.call_tool("delete_platform", DELETE, progress_callback=on_progress)

    assert not result.is_error, text_of(result)
    assert len(sandbox.changes) == 1
    assert all(message and "awaits the user's approval" in message for message in messages)


async def test_a_denied_plan_says_so_and_is_not_asked_again(
    sandbox: Sandbox, clock: Clock, era: str, state: Path
) -> None:
    async with (
        session(sandbox, era, clock=clock, state_dir=state) as client,
        other_process(state, clock) as (ledger, desk),
    ):
        await error(client, "delete_platform", DELETE)
        entry = await only_plan(ledger)
        await desk.deny(entry, "terminal")
        denied = await error(client, "delete_platform", DELETE)
        assert len(await ledger.latest()) == 1

    assert denied == (
        f"delete_platform was not sent. The user denied plan {entry.id}.\nChanged: nothing was changed.\n"
        "Next: respect it: do not call again unless they ask"
    )
    assert sandbox.changes == ()


async def test_an_approval_is_void_when_the_platform_changes(
    sandbox: Sandbox, clock: Clock, era: str, state: Path
) -> None:
    async with (
        session(sandbox, era, clock=clock, state_dir=state) as client,
        other_process(state, clock) as (ledger, desk),
    ):
        await error(client, "delete_platform", DELETE)
        await desk.approve(await only_plan(ledger), RIGHT_NAME, "terminal")
        async with session(sandbox, person=agrees(), clock=clock) as other:
            await other.call_tool("update_platform", UPDATE)
        text = await error(client, "delete_platform", DELETE)

    assert "awaits the user's approval" in text  # of the new state, under a new id
    assert [change.method for change in sandbox.changes] == ["PUT"]


async def test_an_approval_does_not_outlive_the_plan(sandbox: Sandbox, clock: Clock, era: str, state: Path) -> None:
    async with (
        session(sandbox, era, clock=clock, state_dir=state) as client,
        other_process(state, clock) as (ledger, desk),
    ):
        await error(client, "delete_platform", DELETE)
        await desk.approve(await only_plan(ledger), RIGHT_NAME, "terminal")
        clock.now_s += 600
        text = await error(client, "delete_platform", DELETE)

    assert "awaits the user's approval" in text
    assert sandbox.changes == ()


@pytest.mark.parametrize(
    "other",
    [
        {"release_id": DEPLOYED_RELEASE_ID, "with_k8s": True},
        {"release_id": "86e5c363e3a3dfc013ffba546305e162"},
    ],
)
async def test_an_approval_serves_no_other_call(
    sandbox: Sandbox, clock: Clock, state: Path, other: dict[str, Any]
) -> None:
    async with (
        session(sandbox, clock=clock, state_dir=state) as client,
        other_process(state, clock) as (ledger, desk),
    ):
        await error(client, "delete_platform", DELETE)
        await desk.approve(await only_plan(ledger), RIGHT_NAME, "terminal")
        await error(client, "delete_platform", other)

    assert sandbox.changes == ()


@pytest.mark.parametrize("values", [{"account_id": "another"}, {"region": "kr-east1"}, {"api_version": "1.2"}])
async def test_an_approval_serves_no_other_account_region_or_version(
    sandbox: Sandbox, clock: Clock, state: Path, values: dict[str, Any]
) -> None:
    async with other_process(state, clock) as (ledger, desk):
        async with session(sandbox, clock=clock, state_dir=state) as client:
            await error(client, "delete_platform", DELETE)
        await desk.approve(await only_plan(ledger), RIGHT_NAME, "terminal")
        async with session(sandbox, clock=clock, state_dir=state, **values) as client:
            await error(client, "delete_platform", DELETE)

    assert sandbox.changes == ()


async def test_two_processes_with_one_approval_send_one_change(sandbox: Sandbox, clock: Clock, state: Path) -> None:
    errors: list[bool] = []

    async def call(client: Client) -> None:
        errors.append(bool((await client.call_tool("delete_platform", DELETE)).is_error))

    async with (
        other_process(state, clock) as (ledger, desk),
        session(sandbox, clock=clock, state_dir=state) as one,
        session(sandbox, clock=clock, state_dir=state) as two,
    ):
        await error(one, "delete_platform", DELETE)
        await desk.approve(await only_plan(ledger), RIGHT_NAME, "terminal")
        async with anyio.create_task_group() as group:
            group.start_soon(call, one)
            group.start_soon(call, two)

    assert sorted(errors) == [False, True]
    assert len(sandbox.changes) == 1


async def test_in_page_mode_a_form_is_never_shown(sandbox: Sandbox, clock: Clock, era: str, state: Path) -> None:
    person = says(RIGHT_NAME)
    links: list[str] = []

    def browser(link: str) -> bool:
        links.append(link)
        return True

    # The client of the tests declares both ways; without a person it declares none.
    async with session(sandbox, era, clock=clock, state_dir=state, confirm="page", open_browser=browser) as client:
        text = await error(client, "delete_platform", DELETE)
        await error(client, "delete_platform", DELETE)

    assert "They find it with the page in the user's browser, or scp-aimlops-mcp approve" in text
    assert person.asked == []
    (link,) = links  # opened once for one plan
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/plan/[\w-]{40,}", link)
    assert link.rpartition("/")[2] not in text
    assert sandbox.changes == ()


async def test_a_client_that_opens_links_gets_one_and_the_model_does_not(
    sandbox: Sandbox, clock: Clock, era: str, state: Path
) -> None:
    shown: list[ElicitRequestURLParams] = []

    class Opens(Person):
        async def __call__(self, context: Any, params: Any) -> ElicitResult:
            assert isinstance(params, ElicitRequestURLParams)
            shown.append(params)
            return ElicitResult(action="accept")

    person = Opens(lambda _: ElicitResult(action="cancel"))
    async with session(
        sandbox, era, person, clock=clock, state_dir=state, confirm="page", approval_wait_s=0.5
    ) as client:
        text = await error(client, "delete_platform", DELETE)

    (offered,) = shown
    assert offered.url.startswith("http://127.0.0.1:")
    assert offered.url.rpartition("/")[2] not in text
    assert "awaits the user's approval" in text
    assert sandbox.changes == ()


async def test_in_refuse_mode_plans_are_shown_and_nobody_can_approve_them(
    sandbox: Sandbox, clock: Clock, era: str, state: Path
) -> None:
    async with (
        session(sandbox, era, says(RIGHT_NAME), clock=clock, state_dir=state, confirm="refuse") as client,
        other_process(state, clock) as (ledger, _),
    ):
        text = await error(client, "delete_platform", DELETE)
        entry = await only_plan(ledger)

    assert text.startswith("delete_platform was not sent. This server shows plans only (SCP_MCP_CONFIRM=refuse).")
    assert entry.status == "denied"
    assert sandbox.changes == ()


async def test_a_password_left_out_without_any_browser_says_what_to_set(
    sandbox: Sandbox, clock: Clock, era: str, state: Path
) -> None:
    async with session(sandbox, era, clock=clock, state_dir=state) as client:
        text = await error(client, "create_platform", create_arguments(initial_user_password=None))

    assert "give a reference, env:SCP_MCP_SECRET_<NAME> or file:<name>" in text
    assert sandbox.changes == ()


async def test_a_literal_password_is_refused_and_not_repeated(sandbox: Sandbox, clock: Clock, era: str) -> None:
    async with session(sandbox, era, agrees(), clock=clock) as client:
        text = await error(client, "create_platform", create_arguments(initial_user_password=PASSWORD))

    assert "initial_user_password: must be a text like ^(env:" in text
    assert PASSWORD not in text
    assert len(sandbox.seen) == 0


async def test_a_password_typed_on_the_page_is_sent_once_and_stored_nowhere(
    sandbox: Sandbox, clock: Clock, era: str, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    links: list[str] = []

    def browser(link: str) -> bool:
        links.append(link)
        return True

    arguments = create_arguments(initial_user_password=None)
    async with session(sandbox, era, clock=clock, state_dir=state, open_browser=browser) as client:
        waiting = await error(client, "create_platform", arguments)
        page = httpx2.URL(links[0])
        async with httpx2.AsyncClient(verify=NO_CERTIFICATES) as person:
            form = (await person.get(page)).text
            csrf = re.search(r'name="csrf" value="([^"]+)"', form)
            assert csrf
            answer = await person.post(
                page,
                data={"decision": "approve", "csrf": csrf[1], "password": PASSWORD, "password_again": PASSWORD},
                headers={"Origin": f"http://127.0.0.1:{page.port}"},
            )
        assert answer.status_code == 200, answer.text
        result = await client.call_tool("create_platform", arguments)
        again = await client.call_tool("create_platform", arguments)

    assert not result.is_error, text_of(result)
    assert again.is_error
    (change,) = sandbox.changes
    assert PASSWORD.encode() in change.body
    stored = everything_in(state)
    secrets = (PASSWORD, page.path.rpartition("/")[2])
    outputs = f"{waiting}{text_of(result)}{text_of(again)}{form}{answer.text}{stored!r}"
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("aimlops"))
    assert PASSWORD not in outputs
    assert not any(secret in ours + stored.decode("utf-8", "replace") for secret in secrets)


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_a_plan_of_the_embedded_sandbox_is_found_by_the_command_that_the_error_names(state: Path) -> None:
    own = settings(state_dir=state, approval_wait_s=0).for_sandbox()
    async with Client(sandbox_server(own, speed=1)) as client:
        text = await error(client, "delete_platform", DELETE)

    (plan_id,) = re.findall(r"with scp-aimlops-mcp --sandbox approve (\S+), in a terminal", text)
    ledger = Ledger(own.state_path, lambda: 0.0)
    assert [entry.id for entry in await ledger.latest()] == [plan_id]
    await ledger.aclose()
