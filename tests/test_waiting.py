"""wait_for_platform: what it waits for, how often it looks, what it tells meanwhile, and when it ends."""

from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.seed import (
    CREATING_RELEASE_ID,
    DEPLOYED_RELEASE_ID,
    FAILED_RELEASE_ID,
)
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.sandbox.world import DELETE_S, INSTALL_S, NEW_CLUSTER_S, UPDATE_S
from aimlops_server.watching import Watcher
from mcp import Client
from mcp_types import ElicitResult

from tests.transports import client_of
from tests.world import NEW_CLUSTER, Clock, Held, Person, create_arguments, says, session, text_of

pytestmark = pytest.mark.anyio

LONG_S = 3600
CREATE_USUALLY = "a create takes about 10 minutes on an existing cluster, 50 with a new one"


def reads_of(sandbox: Sandbox, release_id: str) -> int:
    return sum(seen.method == "GET" and seen.target.endswith(f"/{release_id}") for seen in sandbox.seen)


async def wait(client: Client, release_id: str, until: str = "deployed", **options: Any) -> dict[str, Any]:
    arguments = {"release_id": release_id, "until": until, "timeout_s": LONG_S, **options}
    result = await client.call_tool("wait_for_platform", arguments)
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    return result.structured_content


def types_what_is_asked() -> Person:
    """A person who confirms a delete with the names that the form shows."""
    names = {"release_name": "new-platform", "cluster_name": "new-cluster"}

    def reply(params: Any) -> ElicitResult:
        asked = params.requested_schema["properties"]
        return ElicitResult(action="accept", content={each: names.get(each, True) for each in asked})

    return Person(reply)


async def created(client: Client, sandbox: Sandbox, arguments: dict[str, Any]) -> str:
    result = await client.call_tool("create_platform", arguments)
    assert not result.is_error, text_of(result)
    return next(p.release_id for p in sandbox.world.platforms() if p.release_name == "new-platform")


ON_EXISTING = create_arguments()
ON_NEW = {**create_arguments(cluster_id=None), **NEW_CLUSTER}


@pytest.mark.parametrize(
    ("arguments", "takes_s", "with_k8s"),
    [(ON_EXISTING, INSTALL_S, False), (ON_NEW, NEW_CLUSTER_S + INSTALL_S, True)],
    ids=["existing cluster", "new cluster"],
)
async def test_waits_for_a_create_and_for_its_delete(
    sandbox: Sandbox, clock: Clock, era: str, arguments: dict[str, Any], takes_s: float, *, with_k8s: bool
) -> None:
    async with session(sandbox, era, types_what_is_asked(), clock=clock, poll_sleep=clock.sleep) as client:
        release_id = await created(client, sandbox, arguments)
        deployed = await wait(client, release_id)
        await client.call_tool("delete_platform", {"release_id": release_id, "with_k8s": with_k8s})
        deleted = await wait(client, release_id, "deleted")

    platform = deployed["platform"]
    assert deployed == {
        "reached": True,
        "state": "DEPLOYED",
        "waited_s": deployed["waited_s"],
        "platform": platform,
        "access": {
            "dashboard": f"https://{platform['ai_ml_ops_platform_endpoint_ip_address']}",
            "endpoint_type": "Private: only those inside its VPC, or connected to it, reach it",
            "first_log_in": "as user@example.com, with the password given at the create, which no call shows",
            "next_steps": "log in, change the password, add users; it costs money every hour until delete_platform",
        },
        "next": "tell the user how to reach it (access)",
    }
    assert (platform["release_id"], platform["release_state"]) == (release_id, "DEPLOYED")
    # No later than one look after it was there.
    assert takes_s <= deployed["waited_s"] <= takes_s + 30
    assert deleted == {"reached": True, "state": "GONE", "waited_s": deleted["waited_s"], "next": "tell the user"}
    assert DELETE_S <= deleted["waited_s"] <= DELETE_S + 30
    assert len(sandbox.changes) == 2


async def test_waits_until_an_update_is_over(sandbox: Sandbox, clock: Clock, era: str) -> None:
    update = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
    async with session(sandbox, era, says({"confirm": True}), clock=clock, poll_sleep=clock.sleep) as client:
        await client.call_tool("update_platform", update)
        changed = await wait(client, DEPLOYED_RELEASE_ID, "changed")

    assert (changed["reached"], changed["state"], changed["next"]) == (True, "DEPLOYED", "tell the user")
    assert changed["access"]["endpoint_type"] == "Public: everyone on the internet reaches the log-in page"
    assert UPDATE_S <= changed["waited_s"] <= UPDATE_S + 30


async def test_tells_state_time_and_usual_duration_after_each_look(sandbox: Sandbox, clock: Clock, era: str) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with session(sandbox, era, clock=clock, poll_sleep=clock.sleep) as client:
        arguments = {"release_id": CREATING_RELEASE_ID, "timeout_s": 30}
        await client.call_tool("wait_for_platform", arguments, progress_callback=tell)

    assert told == [
        (0.0, 30.0, f"CREATING for 0 s; {CREATE_USUALLY}"),
        (2.0, 30.0, f"CREATING for 2 s; {CREATE_USUALLY}"),
        (5.0, 30.0, f"CREATING for 5 s; {CREATE_USUALLY}"),
        (9.5, 30.0, f"CREATING for 10 s; {CREATE_USUALLY}"),
        (16.25, 30.0, f"CREATING for 16 s; {CREATE_USUALLY}"),
        (26.375, 30.0, f"CREATING for 26 s; {CREATE_USUALLY}"),
    ]


async def test_looks_grow_apart_to_half_a_minute(sandbox: Sandbox, clock: Clock) -> None:
    """A wait of an hour costs about two reads a minute: nobody knows the service's limit."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await clock.sleep(seconds)

    async with session(sandbox, clock=clock, poll_sleep=sleep) as client:
        sandbox.world.put(stuck(sandbox))
        ended = await wait(client, CREATING_RELEASE_ID)

    assert slept[:9] == [2.0, 3.0, 4.5, 6.75, 10.125, 15.1875, 22.78125, 30.0, 30.0]
    assert set(slept[7:]) == {30.0}
    assert LONG_S <= ended["waited_s"] <= LONG_S + 30
    # One read of its own, then the poller's.
    assert reads_of(sandbox, CREATING_RELEASE_ID) == 127


def stuck(sandbox: Sandbox) -> Any:
    """The platform that is being created, for longer than any test waits."""
    platform = sandbox.world.platform(CREATING_RELEASE_ID)
    assert platform is not None
    return replace(platform, transition=replace(platform.transition, takes_s=1_000_000.0))


async def test_time_out_says_that_it_goes_on_and_to_call_again(sandbox: Sandbox, clock: Clock, era: str) -> None:
    async with session(sandbox, era, clock=clock, poll_sleep=clock.sleep) as client:
        first = await wait(client, CREATING_RELEASE_ID, timeout_s=50)
        second = await wait(client, CREATING_RELEASE_ID)

    again = f"still CREATING: call wait_for_platform again ({CREATE_USUALLY})"
    assert (first["reached"], first["state"], first["next"]) == (False, "CREATING", again)
    assert 50 <= first["waited_s"] <= 80
    assert "access" not in first
    assert second["reached"] is True


async def test_default_time_out_is_shorter_than_a_client_waits(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, clock=clock, poll_sleep=clock.sleep) as client:
        result = await client.call_tool("wait_for_platform", {"release_id": CREATING_RELEASE_ID})
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    assert result.structured_content is not None
    assert result.structured_content["reached"] is False
    assert tools["wait_for_platform"].input_schema["properties"]["timeout_s"]["default"] == 50


async def test_time_out_ends_a_wait_whose_next_look_is_far(sandbox: Sandbox, clock: Clock) -> None:
    """By the real clock too: nobody waits for a poller that sleeps."""

    async def forever(_: float) -> None:
        await anyio.sleep_forever()

    async with session(sandbox, clock=clock, poll_sleep=forever) as client:
        with anyio.fail_after(5):
            ended = await wait(client, CREATING_RELEASE_ID, timeout_s=0.01)

    assert (ended["reached"], ended["state"]) == (False, "CREATING")


@pytest.mark.parametrize(
    ("release_id", "until", "reached", "state"),
    [
        (CREATING_RELEASE_ID, "deployed", False, "CREATING"),
        (DEPLOYED_RELEASE_ID, "deployed", True, "DEPLOYED"),
        (DEPLOYED_RELEASE_ID, "changed", False, "DEPLOYED"),
        (DEPLOYED_RELEASE_ID, "deleted", False, "DEPLOYED"),
        ("0" * 32, "deleted", True, "GONE"),
    ],
)
async def test_no_time_is_one_look(
    sandbox: Sandbox, clock: Clock, era: str, release_id: str, until: str, *, reached: bool, state: str
) -> None:
    async with session(sandbox, era, clock=clock, poll_sleep=clock.sleep) as client:
        ended = await wait(client, release_id, until, timeout_s=0)

    assert (ended["reached"], ended["state"], ended["waited_s"]) == (reached, state, 0.0)
    assert reads_of(sandbox, release_id) == 1


async def test_failure_ends_the_wait_and_names_what_to_look_at(sandbox: Sandbox, clock: Clock, era: str) -> None:
    sandbox.faults.add(parse("POST:fails_later"))
    async with session(sandbox, era, types_what_is_asked(), clock=clock, poll_sleep=clock.sleep) as client:
        release_id = await created(client, sandbox, ON_EXISTING)
        ended = await wait(client, release_id)

    assert ended == {
        "reached": False,
        "state": "FAILED",
        "waited_s": ended["waited_s"],
        "platform": ended["platform"],
        "next": "it failed: call diagnose_platform, and tell the user what it says",
    }
    assert INSTALL_S <= ended["waited_s"] <= INSTALL_S + 30


@pytest.mark.parametrize("until", ["deployed", "deleted"])
async def test_platform_that_has_failed_already_is_not_waited_for(sandbox: Sandbox, clock: Clock, until: str) -> None:
    async with session(sandbox, clock=clock, poll_sleep=clock.sleep) as client:
        ended = await wait(client, FAILED_RELEASE_ID, until)

    assert (ended["reached"], ended["state"], ended["waited_s"]) == (False, "FAILED", 0.0)


async def test_platform_that_goes_while_it_is_waited_for_ends_the_wait(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, person=types_what_is_asked(), clock=clock, poll_sleep=clock.sleep) as client:
        release_id = await created(client, sandbox, ON_EXISTING)
        await wait(client, release_id)
        await client.call_tool("delete_platform", {"release_id": release_id})
        ended = await wait(client, release_id)

    assert (ended["reached"], ended["state"], ended["next"]) == (
        False,
        "GONE",
        "the platform is gone: tell the user",
    )
    assert ended["waited_s"] <= DELETE_S + 30


@pytest.mark.parametrize("until", ["deployed", "changed"])
async def test_unknown_platform_is_an_error(sandbox: Sandbox, clock: Clock, era: str, until: str) -> None:
    async with session(sandbox, era, clock=clock, poll_sleep=clock.sleep) as client:
        result = await client.call_tool("wait_for_platform", {"release_id": "0" * 32, "until": until})

    assert result.is_error
    assert text_of(result).startswith("wait_for_platform failed. The service answered HTTP 404")
    assert "Next: check the id with list_platforms" in text_of(result)
    assert len(sandbox.seen) == 1


@pytest.mark.parametrize("until", ["deployed", "changed"])
async def test_network_errors_in_between_do_not_end_the_wait(sandbox: Sandbox, clock: Clock, until: str) -> None:
    """Nor is a platform that cannot be read a changed one."""
    states: list[str] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        states.append((message or "").partition(" ")[0])
        if len(states) == 2:
            for _ in range(2):  # each read is tried four times
                sandbox.faults.add(parse("GET:drop_before:times=4"))
            sandbox.faults.add(parse("GET:status=500"))
            sandbox.faults.add(parse("GET:status=403"))

    async with session(sandbox, clock=clock, poll_sleep=clock.sleep) as client:
        arguments = {"release_id": CREATING_RELEASE_ID, "until": until, "timeout_s": LONG_S}
        result = await client.call_tool("wait_for_platform", arguments, progress_callback=tell)

    assert result.structured_content is not None
    assert (result.structured_content["reached"], result.structured_content["state"]) == (True, "DEPLOYED")
    assert states[:7] == ["CREATING", "CREATING", *["UNREADABLE"] * 4, "CREATING"]
    assert not sandbox.faults.waiting()


async def test_cancelled_wait_ends_at_once_and_its_polling_with_it(sandbox: Sandbox, clock: Clock, era: str) -> None:
    held = Held(clock)
    async with session(sandbox, era, clock=clock, poll_sleep=held.sleep) as client:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as calls:
                calls.start_soon(wait, client, CREATING_RELEASE_ID)
                await anyio.wait_all_tasks_blocked()
                assert held.sleeping == 1
                calls.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert held.sleeping == 0
        await held.end()

    assert reads_of(sandbox, CREATING_RELEASE_ID) == 2


async def test_polling_ends_with_the_wait(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, clock=clock, poll_sleep=clock.sleep) as client:
        await wait(client, CREATING_RELEASE_ID)
        reads = reads_of(sandbox, CREATING_RELEASE_ID)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()

    assert reads_of(sandbox, CREATING_RELEASE_ID) == reads


async def test_two_waits_share_one_poller(sandbox: Sandbox, clock: Clock, era: str) -> None:
    held = Held(clock)
    ended: list[dict[str, Any]] = []
    async with session(sandbox, era, clock=clock, poll_sleep=held.sleep) as client:

        async def waits(until: str) -> None:
            ended.append(await wait(client, CREATING_RELEASE_ID, until))

        async with anyio.create_task_group() as calls:
            calls.start_soon(waits, "deployed")
            calls.start_soon(waits, "changed")
            await anyio.wait_all_tasks_blocked()
            before = reads_of(sandbox, CREATING_RELEASE_ID)
            await held.end()
            assert held.sleeping == 1
            assert reads_of(sandbox, CREATING_RELEASE_ID) == before + 1
            clock.now_s += INSTALL_S
            await held.end()
            assert reads_of(sandbox, CREATING_RELEASE_ID) == before + 2

    assert [each["reached"] for each in ended] == [True, True]


async def test_new_wait_does_not_sleep_out_a_long_interval(sandbox: Sandbox, clock: Clock) -> None:
    """Someone who starts to wait brings the looks close together again, whoever else has been waiting for long."""
    held = Held(clock)

    async def nobody(_: str) -> None:
        pass

    async with client_of(SandboxTransport(sandbox), clock) as api, anyio.create_task_group() as group:
        watcher = Watcher(api, group, nobody, held.sleep)
        with watcher.following(CREATING_RELEASE_ID):
            for _ in range(9):
                await anyio.wait_all_tasks_blocked()
                await held.end()
            assert held.slept[-1] == 30.0
            with watcher.looks(CREATING_RELEASE_ID) as looks, anyio.fail_after(5):
                assert (await looks.receive()).state == "CREATING"
            await anyio.wait_all_tasks_blocked()
            assert held.slept[-1] == 2.0
