"""Reads the neighbouring services' look-ups to their end, each once within `max_age_s`, and makes options of them."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import anyio
from aimlops_tools.lookup import Item, Lookup
from aimlops_tools.models import neighbours as n

from aimlops_server.client import ApiClient

MAX_ITEMS = 1_000
MAX_PAGES = 20

ItemT = TypeVar("ItemT", bound=Item)


@dataclass(frozen=True, slots=True)
class _Kept:
    read_s: float
    items: list[Item]


class Neighbours:
    """One view of the neighbouring services. `clock_s` is any clock in seconds."""

    def __init__(self, api: ApiClient, clock_s: Callable[[], float] = anyio.current_time, max_age_s: float = 0) -> None:
        self._api = api
        self._clock_s = clock_s
        self._max_age_s = max_age_s
        self._kept: dict[Lookup, _Kept] = {}
        # Two who ask for the same at once share one reading.
        self._reading: defaultdict[Lookup, anyio.Lock] = defaultdict(anyio.Lock)

    async def all(self, lookup: Lookup, item: type[ItemT]) -> list[ItemT]:
        """Every item of a list, each once, at most MAX_ITEMS.

        Raises:
            AimlopsError: the service cannot be read.
        """
        async with self._reading[lookup]:
            kept = self._kept.get(lookup)
            if kept is None or self._clock_s() - kept.read_s > self._max_age_s:
                kept = _Kept(self._clock_s(), await self._walk(lookup))
                self._kept[lookup] = kept
        return [each for each in kept.items if isinstance(each, item)]

    async def _walk(self, first: Lookup) -> list[Item]:
        found: dict[str, Item] = {}
        request: Lookup | None = first
        for _ in range(MAX_PAGES):
            if request is None or len(found) >= MAX_ITEMS:
                break
            answer = await self._api.read(request)
            page = request.items(answer)
            before = len(found)
            found |= {f"{item.value}\0{item.label}": item for item in page if item.value}
            # Some lists ignore the page, and some do not tell how many there are (facts 7).
            if len(found) == before or len(found) == answer.count:
                break
            request = request.after(page)
        return list(found.values())[:MAX_ITEMS]


def requests_of(kind: str, parents: Mapping[str, str]) -> list[Lookup]:
    """The look-ups behind a kind of `find_options`; `parents` are the ids of what it lists the parts of."""
    match kind:
        case "node_images":
            return [n.NodeImages(scp_original_image_type=each) for each in ("k8s", "k8s_gpu")]
        case "node_pools":
            return [n.NodePools(cluster_id=parents["cluster_id"])]
        case "dns_records":
            return [n.DnsRecords(hosted_zone_id=parents["hosted_zone_id"])]
        case _:
            return [n.LOOKUPS[kind]()]
