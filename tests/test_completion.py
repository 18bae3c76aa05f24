"""Completion of every id in the product: by the start of an id or a part of a name, read once in half a minute."""

from collections.abc import AsyncGenerator

import anyio
import anyio.lowlevel
import httpx2
import pytest
from aimlops_server.completion import KINDS, MAX_AGE_S, Completions
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.neighbours import seed as there
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.seed import FREE_CLUSTER_ID
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_tools.models.neighbours import LOOKUPS
from aimlops_tools.models.platforms import CreatePlatform, UpdatePlatform
from aimlops_tools.schema import request_schema
from mcp import Client
from mcp_types import PromptReference

from tests.transports import client_of
from tests.world import Clock, make_sandbox, session

pytestmark = pytest.mark.anyio

REF = PromptReference(name="provision_platform")
EXPECTED: list[tuple[str, str, list[str]]] = [
    ("cluster_id", "free-cl", [FREE_CLUSTER_ID]),
    ("vpc_id", "MLOPS", [there.MAIN_VPC_ID]),
    ("vpc_id", there.OTHER_VPC_ID[:6], [there.OTHER_VPC_ID]),
    ("vpc_id", "분석팀", [there.OTHER_VPC_ID]),
    ("subnet_id", "mlops-web", [there.MAIN_PUBLIC_SUBNET_ID]),
    ("security_group_id_list", "nodes", [there.SECURITY_GROUP_ID]),
    # A volume is one for the protocol that the field takes.
    ("volume_id", "nfs", [there.NFS_VOLUME_ID, there.SECOND_NFS_VOLUME_ID, there.CREATING_VOLUME_ID]),
    ("volume_id", "cifs", []),
    ("cifs_volume_id", "", [there.CIFS_VOLUME_ID]),
    ("lb_id", "mlops-lb", [there.LOAD_BALANCER_ID]),
    ("k8s_version", "v1.3", ["v1.34.3", "v1.33.5", "v1.32.8", "v1.31.8"]),
    ("kubernetes_version", "1.34", ["v1.34.3"]),
    ("server_type_id", "gpu", ["g1v16m240", "g1v32m480"]),
    ("volume_type_name", "encrypted", ["HDD_KMS", "SSD_KMS"]),
    ("keypair_name", "분석", ["분석팀-key"]),
    # An image is a name and a version, each for its own field.
    ("image_os", "", ["rhel", "ubuntu"]),
    ("image_os_version", "", ["8.10", "9.4", "22.04"]),
    ("dns_id", "internal", [there.PRIVATE_ZONE_ID]),
    # Without its zone a record cannot be listed.
    ("record_id", "", []),
    ("no_such_argument", "", []),
]


async def values(client: Client, argument: str, typed: str, **chosen: str) -> list[str]:
    result = await client.complete(REF, {"name": argument, "value": typed}, context_arguments=chosen)
    return result.completion.values


@pytest.fixture
async def client(sandbox: Sandbox, clock: Clock) -> AsyncGenerator[Client]:
    async with session(sandbox, clock=clock) as connected:
        yield connected


async def test_every_id_completes_by_its_start_or_a_part_of_its_name(client: Client) -> None:
    found = [(argument, typed, await values(client, argument, typed)) for argument, typed, _ in EXPECTED]

    assert found == EXPECTED


async def test_choice_is_suggested_from_what_is_chosen_first(client: Client) -> None:
    in_main = await values(client, "subnet_id", "", vpc_id=there.MAIN_VPC_ID)
    in_other = await values(client, "subnet_id", "", vpc_id=there.OTHER_VPC_ID)

    assert in_main[:2] == [there.MAIN_SUBNET_ID, there.MAIN_PUBLIC_SUBNET_ID]
    assert in_other[:2] == [there.OTHER_SUBNET_ID, there.OTHER_PUBLIC_SUBNET_ID]
    assert set(in_main) == set(in_other)
    assert await values(client, "record_id", "wiki", dns_id=there.PRIVATE_ZONE_ID) == [there.RECORD_ID]
    assert await values(client, "record_id", "wiki", dns_id=there.PUBLIC_ZONE_ID) == []
    assert await values(client, "record_id", "", dns_id="not a zone/../x") == []
    assert await values(client, "record_id", "", dns_id="Zunknown") == []


def test_every_field_that_a_look_up_fills_completes() -> None:
    fields = {path.rpartition(".")[2] for lookup in LOOKUPS.values() for path in lookup.item.goes_into}

    assert fields == KINDS.keys()
    # A look-up's field that is in no request would complete nothing.
    schemas = str(request_schema(CreatePlatform)) + str(request_schema(UpdatePlatform))
    assert {field for field in fields if f"'{field}'" not in schemas} == set()
    assert fields <= {argument for argument, _, _ in EXPECTED}


async def test_list_is_read_once_in_half_a_minute(sandbox: Sandbox, client: Client, clock: Clock) -> None:
    reads: list[int] = []
    for passed_s in (0.0, 1.0, MAX_AGE_S - 1.5, 0.4, 0.2, 1.0):
        clock.now_s += passed_s
        assert await values(client, "vpc_id", "mlops") == [there.MAIN_VPC_ID]
        assert await values(client, "vpc_id", "new") == [there.CREATING_VPC_ID]
        reads.append(len(sandbox.seen))

    assert MAX_AGE_S == 30
    assert reads == [1, 1, 1, 1, 2, 2]


class Slow(httpx2.AsyncBaseTransport):
    """The sandbox, each answer of which takes some turns."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._inner = SandboxTransport(sandbox)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        return await self._inner.handle_async_request(request)


async def test_those_who_ask_at_once_share_one_reading(sandbox: Sandbox, clock: Clock) -> None:
    found: list[list[str]] = []
    async with client_of(Slow(sandbox), clock) as api:
        completions = Completions(api, clock)

        async def ask(typed: str) -> None:
            found.append((await completions.complete("vpc_id", typed, {})).values)

        async with anyio.create_task_group() as group:
            for typed in ("m", "ml", "mlo", "mlop", "mlops"):
                group.start_soon(ask, typed)

    assert found == [[there.MAIN_VPC_ID]] * 5
    assert len(sandbox.seen) == 1


async def test_one_who_gives_up_leaves_the_reading_to_the_next(sandbox: Sandbox, clock: Clock) -> None:
    """Each key pressed ends the call before: that must not hold up the next."""
    async with client_of(Slow(sandbox), clock) as api:
        completions = Completions(api, clock)
        nothing: dict[str, str] = {}
        async with anyio.create_task_group() as group:
            group.start_soon(completions.complete, "vpc_id", "m", nothing)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        with anyio.fail_after(5):
            found = await completions.complete("vpc_id", "mlops", {})

    assert found.values == [there.MAIN_VPC_ID]


async def test_denied_service_completes_nothing_and_the_rest_as_ever(clock: Clock) -> None:
    sandbox = make_sandbox(clock, profile=Profile(denied_services=frozenset({"vpc", "ske"})))
    async with session(sandbox, clock=clock) as client:
        assert await values(client, "vpc_id", "") == []
        assert await values(client, "keypair_name", "mlops") == [there.KEYPAIR_NAME]
        # Clusters that carry a platform are known from the platforms.
        assert await values(client, "cluster_id", "free-cl") == []
        assert len(await values(client, "cluster_id", "cluster-fraud")) == 1


async def test_plain_endpoint_completes_what_the_product_knows(sandbox: Sandbox, clock: Clock) -> None:
    async with session(sandbox, clock=clock, endpoint="https://one.example.com") as client:
        assert await values(client, "vpc_id", "") == []
        assert len(await values(client, "cluster_id", "cluster-fraud")) == 1
