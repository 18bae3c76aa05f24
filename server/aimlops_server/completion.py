"""Completes ids from live data, by the argument's name: in prompts and in resource templates alike."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import get_args

import anyio
from aimlops_tools.fields import EndpointType, ProductType
from aimlops_tools.lookup import Needs
from aimlops_tools.models import neighbours as n
from aimlops_tools.models.images import ListImages
from aimlops_tools.models.platforms import ListPlatforms
from mcp_types import Completion

from aimlops_server.arguments import problems_of
from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError
from aimlops_server.neighbours import Neighbours
from aimlops_server.paging import walk
from aimlops_server.procedures.options import choices_of

MAX_VALUES = 100  # the protocol's limit
WAIT_S = 5.0  # a person is typing: better no suggestion than a late one
MAX_AGE_S = 30.0  # each key pressed asks again

# A value and what people know it by.
Choice = tuple[str, str]
# What the suggestions depend on: the argument, the chosen VPC, the chosen zone.
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    read_s: float
    choices: list[Choice]


@dataclass(frozen=True, slots=True)
class Completions:
    """The suggestions of one server, each list read once in MAX_AGE_S. `clock_s` is any clock in seconds."""

    api: ApiClient
    clock_s: Callable[[], float]
    wait_s: float = WAIT_S
    _kept: dict[_Key, _Kept] = field(default_factory=dict[_Key, _Kept])
    # Two who ask for the same at once share one reading.
    _reading: defaultdict[_Key, anyio.Lock] = field(default_factory=lambda: defaultdict[_Key, anyio.Lock](anyio.Lock))

    async def complete(self, argument: str, typed: str, chosen: Mapping[str, str]) -> Completion:
        """Values whose id starts with what was typed, or whose name contains it. Without keys or network: none.

        `chosen` are the arguments that are filled in already: a subnet is suggested from the chosen VPC first, a
        record from the chosen zone alone.
        """
        found: list[str] = []
        with anyio.move_on_after(self.wait_s):
            part = typed.casefold()
            matching = (
                value
                for value, name in await self._choices(argument, chosen)
                if value.startswith(typed) or part in name.casefold()
            )
            found = [value for value in dict.fromkeys(matching) if value]
        return Completion(values=found[:MAX_VALUES], total=len(found), has_more=len(found) > MAX_VALUES)

    async def _choices(self, argument: str, chosen: Mapping[str, str]) -> list[Choice]:
        key = (argument, chosen.get("vpc_id", ""), chosen.get("dns_id", ""))
        async with self._reading[key]:
            kept = self._kept.get(key)
            if kept is None or self.clock_s() - kept.read_s >= MAX_AGE_S:
                try:
                    kept = self._kept[key] = _Kept(self.clock_s(), await self._read(*key))
                except AimlopsError:
                    return []
        return kept.choices

    async def _read(self, argument: str, vpc_id: str, dns_id: str) -> list[Choice]:
        match argument:
            case "release_id":
                return [(p.release_id, p.release_name) for p in await walk(self.api, ListPlatforms(size=100))]
            case "cluster_id":
                platforms = await walk(self.api, ListPlatforms(size=100))
                return [
                    *await self._looked_up("clusters", argument),
                    *((p.cluster_id, p.cluster_name or "") for p in platforms),
                ]
            case "image_id":
                return [(i.image_id or "", i.image_name or "") for i in await walk(self.api, ListImages(size=100))]
            case "product_type":
                return [(value, value) for value in get_args(ProductType)]
            case "endpoint_type":
                return [(value, value) for value in get_args(EndpointType)]
            case _:
                kind = KINDS.get(argument)
                return await self._looked_up(kind, argument, vpc_id, dns_id) if kind else []

    async def _looked_up(self, kind: str, argument: str, vpc_id: str = "", dns_id: str = "") -> list[Choice]:
        if kind == "dns_records" and problems_of(n.DnsRecords, {"hosted_zone_id": dns_id}):
            return []  # of no zone, or of one whose id is not typed to its end
        parents = {"hosted_zone_id": dns_id}
        choices = await choices_of(
            self.api, Neighbours(self.api), kind, parents, Needs(today=self.api.today(), vpc_id=vpc_id)
        )
        # What an option sets differs: a CIFS volume is no volume_id, an image is a name and a version.
        return [
            (value, option.label)
            for option in choices.options
            for path, value in option.sets.items()
            if path.endswith(f".{argument}")
        ]


# The names under which a prompt asks for what a look-up lists: the API's own.
KINDS = {path.rpartition(".")[2]: kind for kind, lookup in n.LOOKUPS.items() for path in lookup.item.goes_into}
