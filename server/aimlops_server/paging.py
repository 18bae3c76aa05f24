"""Walks a list to its end, bounded. Over fifty of the vendor's lists ignore `size` (facts 7), so pages may repeat."""

from typing import TypeVar

from aimlops_tools import Operation
from aimlops_tools.fields import Listing
from aimlops_tools.operation import Answer

from aimlops_server.client import ApiClient

MAX_ITEMS = 2_000

ItemT = TypeVar("ItemT", bound=Answer)


async def walk(api: ApiClient, first: Operation[Listing[ItemT]], max_items: int = MAX_ITEMS) -> list[ItemT]:
    """All items of all pages, each once, at most `max_items`; `first` is the request of page 0."""
    found: dict[str, ItemT] = {}
    page = 0
    while len(found) < max_items:
        answer = await api.read(first.model_copy(update={"page": page}))
        before = len(found)
        found.update({item.model_dump_json(): item for item in answer.items})
        if len(found) == before or len(found) >= answer.total:
            break
        page += 1
    return list(found.values())[:max_items]
