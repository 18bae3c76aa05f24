"""From "I want Kubeflow for my team" to a running platform, from look-ups alone, on both paths and in both eras."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from aimlops_server.sandbox.app import Sandbox
from aimlops_tools.models.neighbours import ENGINE, PLATFORM, POOL

from tests.story import Assistant, Finding, words_in
from tests.world import PASSWORD, PASSWORD_REFERENCE, Clock, agrees, session

pytestmark = pytest.mark.anyio

USER: dict[str, Any] = {
    "release_name": "team-vision",
    "ai_ml_ops_platform_type": "Enterprise",
    "ai_ml_ops_platform_endpoint_type": "Private",
    "initial_user_email": "lead@example.com",
    "initial_user_password": PASSWORD_REFERENCE,
    "kubernetes_engine_name": "vision-cluster",
    "name": "pool-1",
    "volume_size": 104,
    "desired_node_count": 6,
}
# The sandbox's time: fifty minutes of a create in one of a waiting call.
SPEED = 60

Request = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Mistake:
    """Something that an assistant or its user gets wrong in a finished request, and how a dry run names it."""

    plant: Callable[[Request, Assistant], None]
    check: str
    fix: str


def option(assistant: Assistant, kind: str, words: str) -> str:
    """The value of an option that was shown with these words."""
    shown = assistant.options[kind]
    return next(each["value"] for each in shown if words in f"{each['label']} {each.get('unsuitable')}")


def unsupported_version(request: Request, assistant: Assistant) -> None:
    ended = option(assistant, "kubernetes_versions", "its support ended")
    request[ENGINE]["k8s_version"] = request[POOL]["kubernetes_version"] = ended


NAME_IS_TAKEN = Mistake(
    lambda request, _: request[PLATFORM].update(release_name="fraud-detection"),
    "name",
    "choose another; check_platform_name tells",
)
OTHER_CLUSTER = 'choose another cluster: find_options(kind="clusters")'
MISTAKES: dict[str, list[Mistake]] = {
    "existing": [
        NAME_IS_TAKEN,
        Mistake(
            lambda request, seen: request[PLATFORM].update(cluster_id=option(seen, "clusters", "left-over")),
            "namespace",
            OTHER_CLUSTER,
        ),
        Mistake(
            lambda request, seen: request[PLATFORM].update(cluster_id=option(seen, "clusters", "small-lab")),
            "resources",
            'add nodes to the cluster, or choose another: find_options(kind="clusters")',
        ),
    ],
    "new": [
        NAME_IS_TAKEN,
        Mistake(
            lambda request, seen: request[ENGINE].update(subnet_id=option(seen, "subnets", "it is in VPC")),
            "subnet",
            'find_options(kind="subnets", vpc_id="{vpc_id}")',
        ),
        Mistake(
            lambda request, _: request[POOL].update(desired_node_count=1),
            "size",
            'raise desired_node_count, or take a larger type: find_options(kind="server_types")',
        ),
        Mistake(unsupported_version, "Kubernetes version", 'find_options(kind="kubernetes_versions")'),
        Mistake(
            lambda request, _: request.__delitem__(POOL),
            "request",
            "add node_pool_create_request; find_options lists the values",
        ),
    ],
}


@pytest.mark.parametrize("path", MISTAKES)
async def test_an_assistant_provisions_from_look_ups_alone_and_every_mistake_is_caught_before(
    clock: Clock, era: str, path: str
) -> None:
    started_s = clock()
    sandbox = Sandbox(clock_s=clock, world_clock_s=lambda: started_s + (clock() - started_s) * SPEED)

    person = agrees()
    with anyio.fail_after(60):
        async with session(sandbox, era, person, clock=clock, poll_sleep=clock.sleep) as client:
            # API 1.1 has no zone: a failure that this user takes.
            assistant = Assistant(client, USER, accepts=frozenset({"zone"}))
            await assistant.read_up()
            await assistant.gather(new_cluster=path == "new")
            assistant.request[PLATFORM]["initial_user_password"] = PASSWORD_REFERENCE
            for mistake in MISTAKES[path]:
                mistake.plant(assistant.request, assistant)
                findings = await assistant.look()
                vpc_id = assistant.request.get(ENGINE, {}).get("vpc_id")
                assert Finding(mistake.check, mistake.fix.replace("{vpc_id}", str(vpc_id))) in findings
                await assistant.mend(findings)
                assert (sandbox.changes, person.asked) == ((), [])
            known = {*words_in(USER), *words_in(assistant.answers)}
            created = await assistant.create()
            waited = await assistant.wait(created["platform"]["release_id"])

    (change,) = sandbox.changes
    sent = json.loads(change.body)
    assert {*words_in(sent)} - known == {PASSWORD}  # nothing was invented
    assert len(person.asked) == 1
    assert (waited["reached"], waited["state"]) == (True, "DEPLOYED")
    assert waited["access"]["dashboard"] == "https://192.168.3.197"
    assert sandbox.world.now_s() - started_s > 10 * 60
    assert ("cluster_id" in sent[PLATFORM], ENGINE in sent, POOL in sent) == (
        (False, True, True) if path == "new" else (True, False, False)
    )
