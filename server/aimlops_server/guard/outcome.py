"""What became of a change, found by reading: what is now true, or, its answer lost, whether it happened."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimlops_tools import Operation
from aimlops_tools.fields import AsyncResponse
from aimlops_tools.models.platforms import (
    AiMlOpsPlatformDetailResponse,
    CreatePlatform,
    DeletePlatform,
    GetPlatform,
    ListPlatforms,
    UpdatePlatform,
)

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, Refused
from aimlops_server.guard.ledger import Status

DEPLOYED = "DEPLOYED"
_DELETING = "DELET"  # inferred: no word but DEPLOYED is documented


@dataclass(frozen=True, slots=True)
class Observed:
    """What a read showed. `platform` is None when there is none, or none could be read."""

    words: str
    platform: AiMlOpsPlatformDetailResponse | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """COMMITTED, ABSENT or UNKNOWN, and what it was concluded from."""

    status: Status
    observed: Observed


async def observe(api: ApiClient, operation: Operation[Any], answer: AsyncResponse | None) -> Observed:
    """Read the platform that an accepted change touched. A failed read is words, not an error."""
    try:
        if isinstance(operation, CreatePlatform):
            return await _created(api, operation, answer.resource_id if answer else "") or Observed(
                "it is not listed yet"
            )
        return await _existing(api, operation)
    except AimlopsError as error:
        return Observed(f"it could not be read back: {error.happened}")


async def find_out(
    api: ApiClient,
    operation: Operation[Any],
    before: Mapping[str, str],
    waits_s: Sequence[float],
    sleep: Callable[[float], Awaitable[None]],
) -> Outcome:
    """Whether a change whose answer was lost happened. Looks after each wait, until it is seen or the waits are over.

    `before` is the live state that the plan showed. What is not seen by then counts as absent; what cannot be read, or
    would look the same either way, is unknown.
    """
    outcome = Outcome(Status.UNKNOWN, Observed("it was not looked for"))
    for wait_s in waits_s:
        await sleep(wait_s)
        try:
            outcome = await _look(api, operation, before)
        except AimlopsError as error:
            outcome = Outcome(Status.UNKNOWN, Observed(f"it could not be read: {error.happened}"))
        if outcome.status is Status.COMMITTED:
            break
    return outcome


async def _look(api: ApiClient, operation: Operation[Any], before: Mapping[str, str]) -> Outcome:
    if isinstance(operation, CreatePlatform):
        found = await _created(api, operation, "")
        if found is None:
            return Outcome(Status.ABSENT, Observed("no platform of that name is listed"))
        return Outcome(Status.COMMITTED, found)
    observed = await _existing(api, operation)
    if isinstance(operation, DeletePlatform):
        return Outcome(_deleted(observed, before), observed)
    return Outcome(_updated(operation, observed, before), observed)


def _deleted(observed: Observed, before: Mapping[str, str]) -> Status:
    if _DELETING in before.get("state", "").upper():
        return Status.UNKNOWN  # it was going already
    if observed.gone or observed.platform is None:
        return Status.COMMITTED if observed.gone else Status.UNKNOWN
    state = observed.platform.release_state.upper()
    if _DELETING in state:
        return Status.COMMITTED
    return Status.ABSENT if state in {DEPLOYED, before.get("state", "").upper()} else Status.UNKNOWN


def _updated(operation: Operation[Any], observed: Observed, before: Mapping[str, str]) -> Status:
    live = observed.platform
    if live is None or not isinstance(operation, UpdatePlatform) or before.get("state", "").upper() != DEPLOYED:
        return Status.UNKNOWN  # something else was under way already: what is seen now may be its work
    if live.release_state.upper() != DEPLOYED or live.modified_dt != before.get("last changed", live.modified_dt):
        return Status.COMMITTED
    wanted = operation.ai_ml_ops_platform_endpoint_type
    if operation.ai_ml_ops_platform_domain_service or wanted is None or wanted == before.get("endpoint"):
        return Status.UNKNOWN
    return Status.COMMITTED if live.ai_ml_ops_platform_endpoint_type == wanted else Status.ABSENT


async def _existing(api: ApiClient, operation: Operation[Any]) -> Observed:
    if not isinstance(operation, UpdatePlatform | DeletePlatform):
        raise TypeError(f"{operation.tool_name()} has no read-back: declare one here")
    try:
        return _seen(await api.read(GetPlatform(release_id=operation.release_id)))
    except Refused as refused:
        if refused.status == 404 and isinstance(operation, DeletePlatform):
            return Observed("the platform is gone (the service no longer finds it)", gone=True)
        raise


async def _created(api: ApiClient, create: CreatePlatform, resource_id: str) -> Observed | None:
    """By resource_id, which is taken to be the new release_id; by name when that finds nothing (facts 5, inferred)."""
    try:
        return _seen(await api.read(GetPlatform.validate_arguments({"release_id": resource_id})))
    except (Refused, ValueError):
        name = create.ai_ml_ops_platform_create_request.release_name
        listed = await api.read(ListPlatforms(release_name=name))
        match = next((p for p in listed.items if p.release_name == name), None)
        return _seen(await api.read(GetPlatform(release_id=match.release_id))) if match else None


def _seen(platform: AiMlOpsPlatformDetailResponse) -> Observed:
    return Observed(f"platform {platform.release_name!r} is {platform.release_state}", platform)
