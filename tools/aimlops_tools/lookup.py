"""What a look-up in a neighbouring service is: a read whose answers are options for a field of a request.

AI&MLOps Platform takes ids from seven other services and cannot list them. Each `@lookup` class is one list of
such a service: the class is the request, its item class says what an option is worth for the request at hand.
Fields are read defensively: the services add and rename some, and write numbers as text (facts 7).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

from pydantic import ConfigDict, ValidationError

from aimlops_tools.operation import Answer, Operation

PAGE_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Needs:
    """What an option has to fit, as far as it is chosen already; "" is not chosen. `today` is an ISO date."""

    today: str = ""
    vpc_id: str = ""
    kubernetes_version: str = ""
    server_type_id: str = ""
    endpoint_type: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence and what is filled into it, so that it can be said in another language too."""

    text: str
    values: Mapping[str, str]

    def __str__(self) -> str:
        return self.text.format(**self.values)


def said(text: str, **values: str) -> Said:
    """A sentence with `{names}` to be filled in."""
    return Said(text, values)


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: `sets` is what it puts into which fields; `unsuitable` says why it probably will not do."""

    value: str
    label: str
    sets: Mapping[str, str]
    unsuitable: tuple[Said, ...] = ()


class Item(Answer):
    """One thing that a look-up lists."""

    # No start needs these: pydantic builds each when it is first read.
    model_config = ConfigDict(defer_build=True)

    # The create's fields that `value` goes into, with dots between the levels.
    goes_into: ClassVar[tuple[str, ...]] = ()

    @property
    def value(self) -> str:
        """What stands for it in a request."""
        raise NotImplementedError

    @property
    def marker(self) -> str:
        """What stands for it where a page ends, in the services that page by marker."""
        return self.value

    @property
    def label(self) -> str:
        """What a person knows it by."""
        raise NotImplementedError

    @property
    def order(self) -> tuple[float, ...]:
        """Its place among equally suitable ones: smaller is offered first, then by label."""
        return ()

    def unsuitable(self, needs: Needs) -> Iterator[Said]:
        """Why it probably will not do. All of it is inferred: no create was ever recorded."""
        yield from ()

    def sets(self) -> dict[str, str]:
        """The fields that it fills."""
        return dict.fromkeys(self.goes_into, self.value)

    def option(self, needs: Needs) -> Option:
        return Option(self.value, self.label, self.sets(), tuple(self.unsuitable(needs)))


class LookupAnswer(Answer):
    """A page as it came: its envelope differs from service to service."""

    model_config = ConfigDict(extra="allow")

    @property
    def count(self) -> int | None:
        """How many there are in all, where the service tells it."""
        told: object = (self.model_extra or {}).get("count")
        return int(told) if isinstance(told, int | str) and re.fullmatch("[0-9]{1,9}", str(told)) else None

    def objects(self, name: str) -> list[dict[str, Any]]:
        """The JSON objects in the list `name`; a single object counts as a list of one."""
        found: object = (self.model_extra or {}).get(name)
        listed = cast("list[object]", found) if isinstance(found, list) else [found]
        return [cast("dict[str, Any]", each) for each in listed if isinstance(each, dict)]


class Lookup(Operation[LookupAnswer]):
    """One list of a neighbouring service. `items_name` is its name in the envelope."""

    model_config = ConfigDict(defer_build=True)

    items_name: ClassVar[str]
    item: ClassVar[type[Item]]

    def items(self, page: LookupAnswer) -> list[Item]:
        """What the page holds; what cannot be read at all is left out."""
        found: list[Item] = []
        for each in page.objects(self.items_name):
            try:
                found.append(self.item.model_validate(each))
            except ValidationError:
                continue
        return found

    def after(self, page: list[Item]) -> Self | None:
        """The request for what comes after this page; None when the list has one page."""
        return None


class SizePage(Lookup):
    """The paging of ske, vpc, security-group, loadbalancer, dns zones and quota: `page` counts from 0."""

    size: int = PAGE_ITEMS
    page: int = 0

    def after(self, page: list[Item]) -> Self | None:
        return self.model_copy(update={"page": self.page + 1})


class OffsetLimit(Lookup):
    """The paging of filestorage: `offset` counts items (its name is the vendor's; whether it counts pages is not
    documented, and a page that adds nothing new ends the walk either way)."""

    offset: int = 0
    limit: int = PAGE_ITEMS

    def after(self, page: list[Item]) -> Self | None:
        return self.model_copy(update={"offset": self.offset + len(page)})


class LimitMarker(Lookup):
    """The paging of virtualserver and dns records: `marker` is the last item of the page before."""

    limit: int = PAGE_ITEMS
    marker: str | None = None

    def after(self, page: list[Item]) -> Self | None:
        return self.model_copy(update={"marker": page[-1].marker}) if page else None
