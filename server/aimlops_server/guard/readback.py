"""After a change: what is now true, read back, not what was asked for."""

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


@dataclass(frozen=True, slots=True)
class Observed:
    """What a read after the change showed. `platform` is None when there is none, or none could be read."""

    words: str
    platform: AiMlOpsPlatformDetailResponse | None = None
    gone: bool = False


async def observe(api: ApiClient, operation: Operation[Any], answer: AsyncResponse | None) -> Observed:
    """Read the platform that `operation` changed. A failed read is words, not an error: the change was accepted."""
    try:
        match operation:
            case CreatePlatform():
                return await _created(api, operation, answer.resource_id if answer else "")
            case UpdatePlatform() | DeletePlatform():
                return _seen(await api.read(GetPlatform(release_id=operation.release_id)))
            case _:
                raise TypeError(f"{operation.tool_name()} has no read-back: declare one here")
    except AimlopsError as error:
        if isinstance(operation, DeletePlatform) and isinstance(error, Refused) and error.status == 404:
            return Observed("the platform is gone (the service no longer finds it)", gone=True)
        return Observed(f"it could not be read back: {error.happened}")


async def _created(api: ApiClient, create: CreatePlatform, resource_id: str) -> Observed:
    """By resource_id, which is taken to be the new release_id; by name when that finds nothing (facts 5, inferred)."""
    try:
        return _seen(await api.read(GetPlatform.validate_arguments({"release_id": resource_id})))
    except (Refused, ValueError):
        name = create.ai_ml_ops_platform_create_request.release_name
        listed = await api.read(ListPlatforms(release_name=name))
        match = next((p for p in listed.items if p.release_name == name), None)
        if match is None:
            return Observed(f"no platform named {name!r} is listed yet")
        return _seen(await api.read(GetPlatform(release_id=match.release_id)))


def _seen(platform: AiMlOpsPlatformDetailResponse) -> Observed:
    return Observed(f"platform {platform.release_name!r} is {platform.release_state}", platform)
