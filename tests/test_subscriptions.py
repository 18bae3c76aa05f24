"""Subscriptions to a platform, in both protocol eras: one event for each change of state, one poller for everybody."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import pytest
from aimlops_server.resources import platform_uri
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.seed import CREATING_RELEASE_ID, DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME
from aimlops_server.sandbox.world import DELETE_S, INSTALL_S
from aimlops_server.subscriptions import MAX_PER_CONNECTION
from aimlops_tools.text import plain
from anyio.abc import TaskGroup, TaskStatus
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ResourceUpdatedNotification

from tests.world import Clock, Held, says, session

pytestmark = [
    pytest.mark.anyio,
    # The SDK says so of the handshake era's two calls.
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),
]

CREATING = platform_uri(CREATING_RELEASE_ID)
DEPLOYED = platform_uri(DEPLOYED_RELEASE_ID)
DELETE = {"release_id": DEPLOYED_RELEASE_ID}


@dataclass
class Follower:
    """One client that follows platforms in its era's way, and what it heard."""

    client: Client
    era: str
    group: TaskGroup
    heard: list[str] = field(default_factory=list[str])
    streams: dict[str, anyio.CancelScope] = field(default_factory=dict[str, anyio.CancelScope])

    async def follow(self, *uris: str) -> None:
        """One listen stream for all of them, or a call for each."""
        if self.era != "legacy":
            self.streams[uris[0]] = await self.group.start(self._listen, uris)
            return
        for uri in uris:
            await self.client.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]  # the handshake era's way

    async def _listen(self, uris: tuple[str, ...], *, task_status: TaskStatus[anyio.CancelScope]) -> None:
        with anyio.CancelScope() as scope:
            async with self.client.listen(resource_subscriptions=uris) as stream:
                assert stream.honored.resource_subscriptions == list(uris)
                task_status.started(scope)
                async for event in stream:
                    self.heard.append(getattr(event, "uri", repr(event)))

    async def leave(self, uri: str) -> None:
        """Follow it no more; of several in one stream, the first stands for all."""
        if self.era == "legacy":
            await self.client.unsubscribe_resource(uri)  # pyright: ignore[reportDeprecated]  # the handshake era's way
        else:
            self.streams.pop(uri).cancel()
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def following(sandbox: Sandbox, era: str, held: Held, clock: Clock, *uris: str) -> AsyncGenerator[Follower]:
    heard: list[str] = []

    # The stateless era's client hands its streams' events to the message handler too.
    async def hears(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.append(str(message.params.uri))

    person = says({"release_name": DEPLOYED_RELEASE_NAME})
    async with (
        session(
            sandbox, era, person, clock=clock, poll_sleep=held.sleep, hears=hears if era == "legacy" else None
        ) as client,
        anyio.create_task_group() as group,
    ):
        follower = Follower(client, era, group, heard)
        if uris:
            await follower.follow(*uris)
        await anyio.wait_all_tasks_blocked()
        yield follower
        group.cancel_scope.cancel()


def reads_of(sandbox: Sandbox, release_id: str) -> int:
    return sum(seen.target.endswith(f"/{release_id}") for seen in sandbox.seen)


@pytest.fixture
def held(clock: Clock) -> Held:
    return Held(clock)


async def test_each_change_of_state_is_one_event(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    async with following(sandbox, era, held, clock, CREATING, DEPLOYED) as follower:
        await held.end()
        assert follower.heard == []
        clock.now_s += INSTALL_S
        await held.end()
        assert follower.heard == [CREATING]
        await held.end()
        await held.end()
        assert follower.heard == [CREATING]
        await follower.client.call_tool("delete_platform", DELETE)
        await held.end()
        assert follower.heard == [CREATING, DEPLOYED]
        clock.now_s += DELETE_S
        await held.end()
        await held.end()

    # CREATING to DEPLOYED; DEPLOYED to DELETING, and that to gone.
    assert follower.heard == [CREATING, DEPLOYED, DEPLOYED]


async def test_many_subscribers_share_one_poller(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    """Of one server: clients over HTTP share it, which two calls and three streams of one client stand for."""
    async with following(sandbox, era, held, clock, CREATING) as follower:
        for _ in range(2):
            await follower.follow(CREATING)
        await anyio.wait_all_tasks_blocked()
        assert (held.sleeping, reads_of(sandbox, CREATING_RELEASE_ID)) == (1, 1)
        clock.now_s += INSTALL_S
        await held.end()
        assert reads_of(sandbox, CREATING_RELEASE_ID) == 2

    # In the handshake era a repeated call is the same subscription; each stream is one of its own.
    assert follower.heard == [CREATING] * (1 if era == "legacy" else 3)


async def test_nothing_is_polled_after_the_last_one_left(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    async with following(sandbox, era, held, clock, DEPLOYED) as follower:
        await follower.follow(CREATING)
        await anyio.wait_all_tasks_blocked()
        assert held.sleeping == 2
        await follower.leave(CREATING)
        assert held.sleeping == 1
        await follower.leave(DEPLOYED)
        assert held.sleeping == 0
        clock.now_s += INSTALL_S
        await held.end()
        reads = len(sandbox.seen)
        await follower.follow(CREATING)
        await anyio.wait_all_tasks_blocked()
        assert (held.sleeping, len(sandbox.seen)) == (1, reads + 1)

    assert (reads, follower.heard) == (2, [])


async def test_nothing_is_polled_after_a_client_is_gone(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    async with following(sandbox, era, held, clock, DEPLOYED, CREATING):
        assert held.sleeping == 2

    assert (held.sleeping, len(sandbox.seen)) == (0, 2)


async def test_unreadable_moment_is_no_change(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    async with following(sandbox, era, held, clock, CREATING) as follower:
        for fault in ("GET:drop_before:times=4", "GET:status=500", "GET:not_json"):
            sandbox.faults.add(parse(fault))
            await held.end()
        assert not sandbox.faults.waiting()
        await held.end()
        assert follower.heard == []
        clock.now_s += INSTALL_S
        await held.end()

    assert follower.heard == [CREATING]


async def test_platform_that_is_not_there_yet_can_be_followed(
    sandbox: Sandbox, clock: Clock, held: Held, era: str
) -> None:
    platform = sandbox.world.platform(CREATING_RELEASE_ID)
    assert platform is not None
    async with following(sandbox, era, held, clock, platform_uri("0" * 32)) as follower:
        await held.end()
        sandbox.world.put(replace(platform, release_id="0" * 32))
        await held.end()

    assert follower.heard == [platform_uri("0" * 32)]


FOREIGN = [
    "aimlops://platforms",
    "aimlops://images",
    "aimlops://platforms/",
    "aimlops://platforms/check-duplication",
    "aimlops://platforms/a%2Fb",
    "aimlops://platforms/%EC%B6%94",
    f"aimlops://platforms/{'a' * 65}",
    f"AIMLOPS://platforms/{DEPLOYED_RELEASE_ID}",
    f"aimlops://platforms/{DEPLOYED_RELEASE_ID}?x=1",
    "https://example.com/platforms/1",
    "aimlops://platforms/a\nb",
]


async def refusal(follower: Follower, *uris: str) -> tuple[int, str]:
    with pytest.raises(MCPError) as caught:
        await follower.follow(*uris)
    return caught.value.error.code, caught.value.error.message


async def test_address_of_no_platform_is_refused(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    async with following(sandbox, era, held, clock) as follower:
        refusals = {uri: await refusal(follower, uri) for uri in FOREIGN}
        # One in a list of many spoils the list: nobody waits for what never comes.
        refusals["mixed"] = await refusal(
            follower, *(["aimlops://images"] if era == "legacy" else [DEPLOYED, "aimlops://images"])
        )

    assert refusals == {
        uri: (
            INVALID_PARAMS,
            f"Only a platform can be followed: {plain(uri.replace('mixed', 'aimlops://images'), 200)} is not like "
            "aimlops://platforms/ID",
        )
        for uri in [*FOREIGN, "mixed"]
    }
    assert not sandbox.seen


async def test_one_client_follows_a_bounded_number(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    uris = [platform_uri(f"{number:032x}") for number in range(MAX_PER_CONNECTION)]
    async with following(sandbox, era, held, clock, *uris) as follower:
        assert held.sleeping == MAX_PER_CONNECTION
        more = [DEPLOYED] if era == "legacy" else [*uris, DEPLOYED]
        refused = await refusal(follower, *more)

    assert refused == (INVALID_PARAMS, f"One client can follow {MAX_PER_CONNECTION} platforms")


async def test_leaving_what_was_not_followed_is_nothing(sandbox: Sandbox, clock: Clock, held: Held) -> None:
    async with following(sandbox, "legacy", held, clock, CREATING) as follower:
        await follower.leave(DEPLOYED)
        await follower.leave("https://example.com/")
        assert held.sleeping == 1


async def test_only_those_who_follow_a_platform_hear_of_it(
    sandbox: Sandbox, clock: Clock, held: Held, era: str
) -> None:
    async with following(sandbox, era, held, clock, DEPLOYED) as follower, anyio.create_task_group() as calls:
        arguments = {"release_id": CREATING_RELEASE_ID, "timeout_s": 3600}
        calls.start_soon(follower.client.call_tool, "wait_for_platform", arguments)
        await anyio.wait_all_tasks_blocked()
        clock.now_s += INSTALL_S
        await held.end()
        assert held.sleeping == 1

    assert follower.heard == []


async def test_wait_and_subscription_share_one_poller(sandbox: Sandbox, clock: Clock, held: Held, era: str) -> None:
    async with following(sandbox, era, held, clock, CREATING) as follower, anyio.create_task_group() as calls:
        arguments = {"release_id": CREATING_RELEASE_ID, "timeout_s": 3600}
        calls.start_soon(follower.client.call_tool, "wait_for_platform", arguments)
        await anyio.wait_all_tasks_blocked()
        assert held.sleeping == 1
        clock.now_s += INSTALL_S
        await held.end()
        assert follower.heard == [CREATING]
        # The wait is over, the subscription is not.
        assert held.sleeping == 1
