"""Completes ids from live data, by the argument's name: in prompts and in resource templates alike."""

from collections.abc import Iterable
from typing import get_args

import anyio
from aimlops_tools.fields import EndpointType, ProductType
from aimlops_tools.models.images import ListImages
from aimlops_tools.models.platforms import ListPlatforms
from mcp_types import Completion

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError
from aimlops_server.paging import walk

MAX_VALUES = 100  # the protocol's limit
WAIT_S = 5.0  # a person is typing: better no suggestion than a late one


async def complete(api: ApiClient, argument: str, typed: str, wait_s: float = WAIT_S) -> Completion:
    """Values whose id starts with what was typed, or whose name contains it. Without keys or network: none."""
    found: list[str] = []
    with anyio.move_on_after(wait_s):
        try:
            choices = await _choices(api, argument)
        except AimlopsError:
            choices = ()
        part = typed.casefold()
        matching = (value for value, name in choices if value.startswith(typed) or part in name.casefold())
        found = [value for value in dict.fromkeys(matching) if value]
    return Completion(values=found[:MAX_VALUES], total=len(found), has_more=len(found) > MAX_VALUES)


async def _choices(api: ApiClient, argument: str) -> Iterable[tuple[str, str]]:
    """Values and the names that people know them by."""
    match argument:
        case "release_id":
            return [(p.release_id, p.release_name) for p in await walk(api, ListPlatforms(size=100))]
        case "cluster_id":
            return [(p.cluster_id, p.cluster_name or "") for p in await walk(api, ListPlatforms(size=100))]
        case "image_id":
            return [(i.image_id or "", i.image_name or "") for i in await walk(api, ListImages(size=100))]
        case "product_type":
            return [(value, value) for value in get_args(ProductType)]
        case "endpoint_type":
            return [(value, value) for value in get_args(EndpointType)]
        case _:
            return ()
