"""The guard: nothing changes without a person's yes to exactly what is sent, and one yes serves once."""

import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from aimlops_server.guard.plan import MAX_PREVIEW_CHARS, Plan, Where
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import Fault, FaultKind
from aimlops_server.sandbox.seed import (
    DEPLOYED_RELEASE_ID,
    DEPLOYED_RELEASE_NAME,
    INSTALLED_CLUSTER_ID,
    KOREAN_RELEASE_ID,
    KOREAN_RELEASE_NAME,
    MINI_IMAGE_ID,
    SHARED_RELEASE_IDS,
    SMALL_CLUSTER_ID,
)
from aimlops_server.sandbox.transport import SandboxTransport
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)

from tests.world import (
    NEW_CLUSTER,
    PASSWORD,
    Clock,
    Person,
    agrees,
    create_arguments,
    declines,
    says,
    session,
    text_of,
)

pytestmark = pytest.mark.anyio

DELETE = {"release_id": DEPLOYED_RELEASE_ID}
UPDATE = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
RIGHT_NAME: dict[str, Any] = {"release_name": DEPLOYED_RELEASE_NAME}
CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("create_platform", create_arguments(), {"confirm": True}),
    ("update_platform", UPDATE, {"confirm": True}),
    ("delete_platform", DELETE, RIGHT_NAME),
]
ANY_CHANGE = pytest.mark.parametrize(("name", "arguments", "yes"), CHANGES, ids=[c[0] for c in CHANGES])


async def refused(client: Client, name: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error, text_of(result)
    return text_of(result)


def not_sent(name: str, happened: str, next_step: str) -> str:
    return f"{name} was not sent. {happened}\nChanged: nothing was changed.\nNext: {next_step}"


AGAIN = "call again only if the user wants another try"
FROM_THE_START = "call the tool again from the start, so that the user sees the present state"
UNKNOWN_STATE = not_sent(
    "update_platform", "This confirmation was already used, or is not one of this server's.", FROM_THE_START
)


@ANY_CHANGE
async def test_one_yes_sends_one_change_and_reads_it_back(
    sandbox: Sandbox, clock: Clock, era: str, name: str, arguments: dict[str, Any], yes: dict[str, Any]
) -> None:
    person = says(yes)
    async with session(sandbox, era, person, clock=clock) as client:
        result = await client.call_tool(name, arguments)

    observed = {
        "create_platform": "platform 'new-platform' is CREATING",
        "update_platform": f"platform '{DEPLOYED_RELEASE_NAME}' is UPDATING",
        "delete_platform": f"platform '{DEPLOYED_RELEASE_NAME}' is DELETING",
    }
    assert not result.is_error, text_of(result)
    assert result.structured_content["observed"] == observed[name]
    assert len(person.asked) == 1
    assert len(sandbox.changes) == 1
    assert sandbox.seen[-1].method == "GET"


NO_ANSWERS: list[tuple[ElicitResult, str, str]] = [
    (ElicitResult(action="decline"), "The user declined.", "respect it: do not call again unless the user asks for it"),
    (ElicitResult(action="cancel"), "The user closed the question without an answer.", AGAIN),
]


@ANY_CHANGE
@pytest.mark.parametrize(("answer", "happened", "step"), NO_ANSWERS, ids=["decline", "cancel"])
async def test_a_no_sends_nothing(
    sandbox: Sandbox,
    clock: Clock,
    era: str,
    name: str,
    arguments: dict[str, Any],
    yes: dict[str, Any],
    answer: ElicitResult,
    happened: str,
    step: str,
) -> None:
    async with session(sandbox, era, Person(lambda _: answer), clock=clock) as client:
        text = await refused(client, name, arguments)

    assert text == not_sent(name, happened, step)
    assert sandbox.changes == ()


@pytest.mark.parametrize("content", [{"confirm": False}, {}, {"confirm": "true"}, {"confirm": 1}, {"other": True}])
@pytest.mark.parametrize("name", ["create_platform", "update_platform"])
async def test_anything_but_true_is_not_a_yes(
    sandbox: Sandbox, clock: Clock, era: str, name: str, content: dict[str, Any]
) -> None:
    arguments = UPDATE if name == "update_platform" else create_arguments()
    async with session(sandbox, era, says(content), clock=clock) as client:
        text = await refused(client, name, arguments)

    assert text == not_sent(name, "The user did not say yes.", AGAIN)
    assert sandbox.changes == ()


@pytest.mark.parametrize(
    "typed", ["", "fraud-detectio", "Fraud-Detection", " fraud-detection", "fraud-dеtection", "yes"]
)
async def test_a_wrong_name_deletes_nothing(sandbox: Sandbox, clock: Clock, era: str, typed: str) -> None:
    """The fifth look-alike has a Cyrillic letter."""
    async with session(sandbox, era, says({"release_name": typed}), clock=clock) as client:
        text = await refused(client, "delete_platform", DELETE)

    happened = 'What the user typed is not the platform\'s exact name, "fraud-detection".'
    assert text == not_sent("delete_platform", happened, AGAIN)
    assert sandbox.changes == ()


async def test_deleting_the_cluster_needs_both_names_and_shows_all_that_goes(
    sandbox: Sandbox, clock: Clock, era: str
) -> None:
    first, _ = SHARED_RELEASE_IDS
    arguments = {"release_id": first, "with_k8s": True}
    half = says({"release_name": "shared-training"})
    async with session(sandbox, era, half, clock=clock) as client:
        text = await refused(client, "delete_platform", arguments)
    assert text == not_sent(
        "delete_platform", 'What the user typed is not the cluster\'s exact name, "shared-cluster".', AGAIN
    )
    assert sandbox.changes == ()

    (question,) = half.asked
    assert question.message.splitlines()[:6] == [
        'DELETE platform "shared-training" AND ITS WHOLE KUBERNETES CLUSTER "shared-cluster". It cannot be undone.',
        "Where: kr-west1 (environment e), account of access key SAND…, "
        "https://aimlops-platform.kr-west1.e.samsungsdscloud.com",
        "Lost: its notebooks, pipelines, models and their volumes",
        'Lost: other platforms on the cluster: "shared-serving"',
        "Lost: 3 nodes: shared-cluster-pool-1, shared-cluster-pool-2, shared-cluster-pool-3",
        "Lost: every other workload on the cluster",
    ]
    assert list(as_schema(question)["properties"]) == ["release_name", "cluster_name"]

    both = says({"release_name": "shared-training", "cluster_name": "shared-cluster"})
    async with session(sandbox, era, both, clock=clock) as client:
        result = await client.call_tool("delete_platform", arguments)
    assert not result.is_error
    assert [change.target.split("?")[1] for change in sandbox.changes] == ["with_k8s=true"]


def as_schema(question: ElicitRequestFormParams) -> dict[str, Any]:
    return question.model_dump(mode="json", by_alias=True, exclude_none=True)["requestedSchema"]


async def test_forms_ask_for_one_yes_without_a_default_or_for_the_exact_name(
    sandbox: Sandbox, clock: Clock, era: str
) -> None:
    forms: dict[str, Any] = {}
    for name, arguments, _ in CHANGES:
        person = declines()
        async with session(sandbox, era, person, clock=clock) as client:
            await client.call_tool(name, arguments)
        (question,) = person.asked
        assert len(question.message) < MAX_PREVIEW_CHARS
        forms[name] = as_schema(question)

    yes = {"confirm": {"type": "boolean", "title": "Yes, send it"}}
    typed = {"release_name": {"type": "string", "title": "Type the platform's exact name"}}
    assert forms == {
        "create_platform": {"type": "object", "properties": yes, "required": ["confirm"]},
        "update_platform": {"type": "object", "properties": yes, "required": ["confirm"]},
        "delete_platform": {"type": "object", "properties": typed, "required": ["release_name"]},
    }


@ANY_CHANGE
async def test_a_client_that_cannot_ask_is_shown_the_plan_and_nothing_is_sent(
    sandbox: Sandbox, clock: Clock, era: str, name: str, arguments: dict[str, Any], yes: dict[str, Any]
) -> None:
    async with session(sandbox, era, clock=clock) as client:
        text = await refused(client, name, arguments)

    plan_id = re.search(r"Plan (\S{4}-\S{4}) awaits", text)
    assert plan_id
    start = (
        f"{name} was not sent. Plan {plan_id[1]} awaits the user's approval. They find it with scp-aimlops-mcp approve "
        f"{plan_id[1]}, in a terminal of this machine. This client cannot show the user a form: it does not declare "
        f"MCP form elicitation. The plan:\n{name.split('_')[0].upper()} "
    )
    assert text.startswith(start)
    assert f"\nSends: {'POST' if 'create' in name else 'PUT' if 'update' in name else 'DELETE'} https://" in text
    assert PASSWORD not in text
    assert sandbox.changes == ()


@ANY_CHANGE
async def test_a_platform_that_changed_meanwhile_voids_the_yes(
    sandbox: Sandbox, clock: Clock, era: str, name: str, arguments: dict[str, Any], yes: dict[str, Any]
) -> None:
    """While the person thinks, somebody else updates the platform, or takes the name."""

    async def reply(_: ElicitRequestFormParams) -> ElicitResult:
        async with session(sandbox, person=agrees(), clock=clock) as other:
            if name == "create_platform":
                await other.call_tool("create_platform", create_arguments())
            else:
                await other.call_tool("update_platform", UPDATE)
        return ElicitResult(action="accept", content=yes)

    async with session(sandbox, era, Person(reply), clock=clock) as client:
        text = await refused(client, name, arguments)

    happened = "Something changed while the user was being asked, so their yes is void."
    assert text == not_sent(name, happened, FROM_THE_START)
    assert len(sandbox.changes) == 1


@ANY_CHANGE
async def test_an_answer_after_ten_minutes_is_too_late(
    sandbox: Sandbox, clock: Clock, era: str, name: str, arguments: dict[str, Any], yes: dict[str, Any]
) -> None:
    def reply(_: ElicitRequestFormParams) -> ElicitResult:
        clock.now_s += 600
        return ElicitResult(action="accept", content=yes)

    async with session(sandbox, era, Person(reply), clock=clock) as client:
        text = await refused(client, name, arguments)

    assert text == not_sent(name, "Nobody answered within 10 minutes; the question has expired.", FROM_THE_START)
    assert sandbox.changes == ()


async def test_an_unanswered_question_ends_by_itself(sandbox: Sandbox, clock: Clock) -> None:
    """The handshake era's question has no limit in the SDK; ours is 10 minutes, here a moment."""

    async def never(_: ElicitRequestFormParams) -> ElicitResult:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(5):
        async with session(sandbox, "legacy", Person(never), clock=clock, plan_ttl_s=0.05) as client:
            text = await refused(client, "delete_platform", DELETE)

    assert "the question has expired" in text
    assert sandbox.changes == ()


async def test_two_calls_at_once_with_one_platform_delete_it_once(sandbox: Sandbox, clock: Clock, era: str) -> None:
    results: list[CallToolResult] = []

    async def call(client: Client) -> None:
        results.append(await client.call_tool("delete_platform", DELETE))

    both_asked = anyio.Event()
    person = says(RIGHT_NAME)

    async def reply(_: ElicitRequestFormParams) -> ElicitResult:
        if len(person.asked) == 2:
            both_asked.set()
        await both_asked.wait()
        return ElicitResult(action="accept", content=dict(RIGHT_NAME))

    person.reply = reply
    with anyio.fail_after(10):
        async with session(sandbox, era, person, clock=clock) as client, anyio.create_task_group() as group:
            group.start_soon(call, client)
            group.start_soon(call, client)

    assert sorted(bool(result.is_error) for result in results) == [False, True]
    assert len(sandbox.changes) == 1


@pytest.mark.parametrize("when", ["before the last look", "during the last look"])
async def test_two_approved_changes_of_one_platform_never_overlap(
    sandbox: Sandbox, clock: Clock, era: str, tmp_path: Path, when: str
) -> None:
    """Two server processes, a plan each, both approved: while one is out, the other is held back and says why."""
    out, told = anyio.Event(), anyio.Event()
    both_asked = anyio.Event()
    looks = 0

    class Holds(SandboxTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method != "GET":
                out.set()
                await told.wait()
            return await super().handle_async_request(request)

    class WaitsInTheLook(SandboxTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal looks
            looks += 1
            if looks == 2 and when == "during the last look":
                both_asked.set()
                await out.wait()
            return await super().handle_async_request(request)

    async def first_says_yes(_: ElicitRequestFormParams) -> ElicitResult:
        await both_asked.wait()
        return ElicitResult(action="accept", content={"confirm": True})

    async def second_says_yes(_: ElicitRequestFormParams) -> ElicitResult:
        if when == "before the last look":
            both_asked.set()
            await out.wait()
        return ElicitResult(action="accept", content={"confirm": True})

    results: list[CallToolResult] = []
    held = CallToolResult(content=[])
    with anyio.fail_after(10):
        async with (
            session(
                sandbox, era, Person(first_says_yes), clock=clock, transport=Holds(sandbox), state_dir=tmp_path
            ) as one,
            session(
                sandbox,
                era,
                Person(second_says_yes),
                clock=clock,
                transport=WaitsInTheLook(sandbox),
                state_dir=tmp_path,
            ) as two,
            anyio.create_task_group() as group,
        ):

            async def call_first() -> None:
                results.append(await one.call_tool("update_platform", UPDATE))
                out.set()  # even if it was held back itself

            group.start_soon(call_first)
            held = await two.call_tool("update_platform", UPDATE)
            told.set()

    (sent,) = results
    plan_id = sent.structured_content["plan_id"]
    assert text_of(held) == (
        f"update_platform was not sent. Plan {plan_id}, another change of the same, is being sent right now.\n"
        "Changed: nothing was changed.\n"
        "Next: wait, look at its result, and call again if the user still wants this"
    )
    assert [change.method for change in sandbox.changes] == ["PUT"]


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
async def test_what_was_sent_is_told_though_the_ledger_breaks_meanwhile(
    sandbox: Sandbox, clock: Clock, era: str, tmp_path: Path, lost: bool
) -> None:
    """Never "was not sent"; the row goes on saying "started", and the next start looks."""

    class Breaks(SandboxTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            try:
                return await super().handle_async_request(request)
            finally:
                if request.method != "GET":
                    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db:
                        db.execute("ALTER TABLE plans RENAME TO moved")

    if lost:
        sandbox.faults.add(Fault(FaultKind.DROP_AFTER, "PUT"))
    transport = Breaks(sandbox)
    async with session(sandbox, era, agrees(), clock=clock, transport=transport, state_dir=tmp_path) as client:
        result = await client.call_tool("update_platform", UPDATE)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db:
        assert db.execute("SELECT status FROM moved").fetchall() == [("started",)]

    if lost:
        assert "What became of it cannot be recorded." in text_of(result)
        assert "Changed: unknown" in text_of(result)
    else:
        assert result.structured_content["outcome"] == "committed"
    assert bool(result.is_error) is lost


class Rounds:
    """The stateless era's two rounds, driven by hand as an attacker would."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def first(self, name: str, arguments: dict[str, Any]) -> str:
        result = await self._call(name, arguments)
        assert isinstance(result, InputRequiredResult)
        assert result.request_state
        (request,) = (result.input_requests or {}).values()
        assert isinstance(request, ElicitRequest)
        return result.request_state

    async def second(
        self, name: str, arguments: dict[str, Any], state: str | None, answer: dict[str, Any] | None
    ) -> CallToolResult | InputRequiredResult:
        responses = {"confirm": ElicitResult(action="accept", content=answer)} if answer is not None else None
        return await self._call(name, arguments, input_responses=responses, request_state=state)

    async def _call(self, name: str, arguments: dict[str, Any], **more: Any) -> CallToolResult | InputRequiredResult:
        result = await self.client.session.call_tool(name, arguments, allow_input_required=True, **more)
        assert isinstance(result, CallToolResult | InputRequiredResult)
        return result


async def test_a_replayed_confirmation_is_refused(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, person=declines(), clock=clock) as client:
        rounds = Rounds(client)
        state = await rounds.first("update_platform", UPDATE)
        done = await rounds.second("update_platform", UPDATE, state, {"confirm": True})
        clock.now_s += 200  # the update is through
        with pytest.raises(MCPError) as replay:
            await rounds.second("update_platform", UPDATE, state, {"confirm": True})

    assert isinstance(done, CallToolResult)
    assert not done.is_error
    assert (replay.value.code, replay.value.message) == (INVALID_PARAMS, UNKNOWN_STATE)
    assert len(sandbox.changes) == 1


async def test_an_altered_state_is_rejected_as_the_protocol_wants_it(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, person=declines(), clock=clock) as client:
        rounds = Rounds(client)
        state = await rounds.first("update_platform", UPDATE)
        with pytest.raises(MCPError) as altered:
            await rounds.second("update_platform", UPDATE, f"{state}x", {"confirm": True})

    assert (altered.value.code, altered.value.message) == (INVALID_PARAMS, UNKNOWN_STATE)
    assert sandbox.changes == ()


async def test_five_second_rounds_at_once_send_one_change(sandbox: Sandbox, clock: Clock) -> None:
    rejected: list[bool] = []
    async with session(sandbox, person=declines(), clock=clock) as client:
        rounds = Rounds(client)
        state = await rounds.first("update_platform", UPDATE)

        async def answer() -> None:
            try:
                await rounds.second("update_platform", UPDATE, state, {"confirm": True})
                rejected.append(False)
            except MCPError:
                rejected.append(True)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(answer)

    assert sorted(rejected) == [False, True, True, True, True]
    assert len(sandbox.changes) == 1


Attack = Callable[[Rounds, str], Awaitable[CallToolResult | InputRequiredResult]]
OTHER_ARGUMENTS = {"release_id": KOREAN_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
ATTACKS: dict[str, Attack] = {
    "an invented state": lambda r, _: r.second("update_platform", UPDATE, "invented", {"confirm": True}),
    "another platform": lambda r, s: r.second("update_platform", OTHER_ARGUMENTS, s, {"confirm": True}),
    "another tool": lambda r, s: r.second("delete_platform", DELETE, s, {"confirm": True}),
    "an answer without state": lambda r, _: r.second("update_platform", UPDATE, None, {"confirm": True}),
    "a state without answer": lambda r, s: r.second("update_platform", UPDATE, s, None),
    "a dry run as answer": lambda r, s: r.second("update_platform", {**UPDATE, "dry_run": True}, s, {"confirm": True}),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_a_forged_second_round_changes_nothing(sandbox: Sandbox, clock: Clock, attack: Attack) -> None:
    async with session(sandbox, person=declines(), clock=clock) as client:
        rounds = Rounds(client)
        state = await rounds.first("update_platform", UPDATE)
        try:
            result = await attack(rounds, state)
        except MCPError as error:
            result = error

    if isinstance(result, CallToolResult):
        assert result.is_error or result.structured_content["sent"] is False
    assert sandbox.changes == ()


CERTAIN: list[tuple[dict[str, Any], str]] = [
    ({"release_name": DEPLOYED_RELEASE_NAME}, 'name: "fraud-detection" is taken'),
    ({"image_id": "IMAGE-none"}, 'image: there is no "IMAGE-none"; there are: '),
    ({"ai_ml_ops_platform_type": "Mini"}, "image: AIMLOps Platform 1.9.2 is for Enterprise, not Mini"),
    ({"cluster_id": "0" * 32}, "namespace: there is no such cluster; resources: there is no such cluster"),
]


@pytest.mark.parametrize(
    ("changes", "reason"), CERTAIN, ids=["name taken", "no such image", "other type", "no such cluster"]
)
async def test_a_certain_reason_stops_a_create_before_anyone_is_asked(
    sandbox: Sandbox, clock: Clock, era: str, changes: dict[str, Any], reason: str
) -> None:
    person = agrees()
    async with session(sandbox, era, person, clock=clock) as client:
        text = await refused(client, "create_platform", create_arguments(**changes))

    start = f"create_platform was not sent. A check stopped it before the user was asked: {reason}"
    assert text.startswith(start)
    assert (person.asked, sandbox.changes) == ([], ())


FIND_CLUSTERS = 'find_options(kind="clusters")'
INFERRED: list[tuple[dict[str, Any], str]] = [
    (
        {"cluster_id": SMALL_CLUSTER_ID},
        "resources: fail (inferred) – the cluster is too small → add nodes to the cluster, or choose another: "
        + FIND_CLUSTERS,
    ),
    (
        {"cluster_id": INSTALLED_CLUSTER_ID},
        "namespace: fail (inferred) – a platform is already installed on this cluster → choose another cluster: "
        + FIND_CLUSTERS,
    ),
    (
        {"image_id": MINI_IMAGE_ID},
        "image: fail (inferred) – AIMLOps Platform 1.9.1 is for Mini, not Enterprise → list_images",
    ),
    (
        {"initial_user_email": None},
        "email: fail (inferred) – nobody can log in without the first user's email → ask the user for "
        "initial_user_email",
    ),
]


@pytest.mark.parametrize(("changes", "line"), INFERRED)
async def test_an_inferred_failure_is_shown_and_the_person_decides(
    sandbox: Sandbox, clock: Clock, era: str, changes: dict[str, Any], line: str
) -> None:
    person = agrees()
    async with session(sandbox, era, person, clock=clock) as client:
        await client.call_tool("create_platform", create_arguments(**changes))

    (question,) = person.asked
    assert line in question.message.splitlines()
    assert len(sandbox.changes) == 1


async def test_a_dry_run_shows_the_exact_plan_and_sends_no_change(sandbox: Sandbox, clock: Clock, era: str) -> None:
    person = agrees()
    async with session(sandbox, era, person, clock=clock) as client:
        result = await client.call_tool("create_platform", {**create_arguments(), "dry_run": True})
        real = await client.call_tool("create_platform", create_arguments())

    data = result.structured_content
    assert (data["sent"], data["next"]) == (False, "call again without dry_run; the user is asked")
    assert data["plan"]["request"] == {
        "method": "POST",
        "url": "https://aimlops-platform.kr-west1.e.samsungsdscloud.com/v1/aimlops-platform",
        "body": create_arguments(),
    }
    assert [(c["name"], c["finding"]) for c in data["plan"]["checks"]] == [
        ("name", "pass"),
        ("image", "pass"),
        ("cluster", "pass"),
        ("version", "pass"),
        ("namespace", "pass"),
        ("resources", "pass"),
        ("cluster is free", "pass"),
        ("quota", "pass"),
    ]
    assert not real.is_error
    (change,) = sandbox.changes
    assert json.loads(change.body) == create_arguments(initial_user_password=PASSWORD)
    assert len(person.asked) == 1


async def test_a_dry_run_of_what_would_be_stopped_says_what_stops_it(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, clock=clock) as client:
        arguments = {**create_arguments(release_name=DEPLOYED_RELEASE_NAME), "dry_run": True}
        data = (await client.call_tool("create_platform", arguments)).structured_content

    assert data["next"] == "correct what stops it"
    assert data["plan"]["checks"][0] == {
        "name": "name",
        "finding": "fail",
        "detail": '"fraud-detection" is taken',
        "fix": "choose another; check_platform_name tells",
    }


async def test_a_create_with_a_new_cluster_shows_every_field_within_the_limit(
    sandbox: Sandbox, clock: Clock, era: str
) -> None:
    person = agrees()
    async with session(sandbox, era, person, clock=clock) as client:
        result = await client.call_tool("create_platform", {**create_arguments(cluster_id=None), **NEW_CLUSTER})

    assert not result.is_error, text_of(result)
    (question,) = person.asked
    assert len(question.message) < MAX_PREVIEW_CHARS
    for block in NEW_CLUSTER.values():
        for field in block:
            assert f"{field}=" in question.message
    assert "(cut" not in question.message


async def test_a_platform_that_cannot_be_read_is_not_asked_about(sandbox: Sandbox, clock: Clock, era: str) -> None:
    person = says(RIGHT_NAME)
    sandbox.faults.add(Fault(FaultKind.STATUS, "GET", status=500))
    async with session(sandbox, era, person, clock=clock) as client:
        text = await refused(client, "delete_platform", DELETE)

    assert text.startswith("delete_platform failed. The service answered HTTP 500; ContactAdminForAssistance")
    assert (person.asked, sandbox.changes) == ([], ())


async def test_a_cluster_whose_platforms_cannot_be_listed_is_not_asked_about(sandbox: Sandbox, clock: Clock) -> None:
    person = says(RIGHT_NAME)
    sandbox.faults.add(Fault(FaultKind.STATUS, operation="list_platforms", status=500))
    async with session(sandbox, person=person, clock=clock) as client:
        await refused(client, "delete_platform", {**DELETE, "with_k8s": True})

    assert (person.asked, sandbox.changes) == ([], ())


async def test_the_typed_name_may_be_korean(sandbox: Sandbox, clock: Clock, era: str) -> None:
    async with session(sandbox, era, says({"release_name": KOREAN_RELEASE_NAME}), clock=clock) as client:
        result = await client.call_tool("delete_platform", {"release_id": KOREAN_RELEASE_ID})

    assert not result.is_error
    assert len(sandbox.changes) == 1


async def test_a_deleted_platform_is_reported_gone(sandbox: Sandbox, clock: Clock, era: str) -> None:
    class AnHourLater(SandboxTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await super().handle_async_request(request)
            clock.now_s += 3600 if request.method == "DELETE" else 0
            return response

    person = says(RIGHT_NAME)
    async with session(sandbox, era, person, clock=clock, transport=AnHourLater(sandbox)) as client:
        result = await client.call_tool("delete_platform", DELETE)

    assert result.structured_content == {
        "sent": True,
        "outcome": "committed",
        "plan_id": result.structured_content["plan_id"],
        "observed": "the platform is gone (the service no longer finds it)",
        "next": "tell the user that it is done",
        "undo": result.structured_content["undo"],
    }


async def test_a_change_whose_caller_leaves_is_followed_to_its_end(sandbox: Sandbox, clock: Clock) -> None:
    """Cancelled while the request is out, the server still reads its answer, so the connection is not torn down."""
    out = anyio.Event()
    go_on = anyio.Event()
    ended: list[int] = []

    class Slow(SandboxTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == "GET":
                return await super().handle_async_request(request)
            out.set()
            await go_on.wait()
            response = await super().handle_async_request(request)
            ended.append(response.status_code)
            return response

    with anyio.fail_after(10):
        async with (
            session(sandbox, person=agrees(), clock=clock, transport=Slow(sandbox)) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(client.call_tool, "update_platform", UPDATE)
            await out.wait()
            group.cancel_scope.cancel()
            go_on.set()

    assert ended == [200]
    assert len(sandbox.changes) == 1


async def test_a_call_cancelled_while_the_question_is_open_sends_nothing(
    sandbox: Sandbox, clock: Clock, era: str
) -> None:
    asked = anyio.Event()

    async def never(_: ElicitRequestFormParams) -> ElicitResult:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(10):
        async with (
            session(sandbox, era, Person(never), clock=clock) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(client.call_tool, "delete_platform", DELETE)
            await asked.wait()
            group.cancel_scope.cancel()

    assert sandbox.changes == ()


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=4000), max_size=30), st.text(max_size=4000))
def test_a_preview_is_always_short_and_no_value_starts_a_line(body: dict[str, str], name: str) -> None:
    plan = Plan(
        headline="CREATE",
        where=Where("r", "e", "a", "https://x", "1.1"),
        method="POST",
        url="https://x/y",
        body={"release_name": name, **{re.sub(r"\W", "_", k): v for k, v in body.items()}},
    )

    preview = plan.preview()

    assert len(preview) < MAX_PREVIEW_CHARS
    assert len(preview.splitlines()) == 4


async def test_a_client_that_fails_while_asking_changes_nothing(sandbox: Sandbox, clock: Clock) -> None:
    async def broken(_: ElicitRequestFormParams) -> ElicitResult:
        raise MCPError(-32000, "no window")

    async with session(sandbox, "legacy", Person(broken), clock=clock) as client:
        text = await refused(client, "delete_platform", DELETE)

    assert text == not_sent(
        "delete_platform", "The client could not ask the user, or its answer was malformed.", "tell the user"
    )
    assert sandbox.changes == ()
