"""find_options: what an id can be, suitable choices first, and why the others probably will not do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from aimlops_tools.lookup import Item, Lookup, Needs, Option, said
from aimlops_tools.models.platforms import ListPlatforms
from aimlops_tools.procedure import PARENT_OF, FindOptions, FoundOption, FoundOptions

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, InvalidArguments
from aimlops_server.neighbours import Neighbours, requests_of
from aimlops_server.paging import walk
from aimlops_server.together import together


@dataclass(frozen=True, slots=True)
class Choices:
    """Options of one kind; `notes` say what could not be read."""

    options: list[Option]
    notes: tuple[str, ...] = ()


async def find_options(api: ApiClient, call: FindOptions) -> FoundOptions:
    """Answer one call.

    Raises:
        InvalidArguments: the id of the thing whose parts are asked for is missing.
    """
    parents = {name: value for name in PARENT_OF.values() if (value := getattr(call, name))}
    needed = PARENT_OF.get(call.kind)
    if needed and needed not in parents:
        kind = "clusters" if needed == "cluster_id" else "hosted_zones"
        raise InvalidArguments(f"{needed}: required for kind {call.kind}.", f'find it with find_options(kind="{kind}")')
    needs = Needs(
        today=api.today(),
        vpc_id=call.vpc_id or "",
        kubernetes_version=call.kubernetes_version or "",
        server_type_id=call.server_type_id or "",
        endpoint_type=call.endpoint_type or "",
    )
    choices = await choices_of(api, Neighbours(api), call.kind, parents, needs)
    part = (call.contains or "").casefold()
    found = [each for each in choices.options if part in f"{each.value}\n{each.label}".casefold()]
    start = call.page * call.size
    shown = found[start : start + call.size]
    more = start + len(shown) < len(found)
    notes = list(choices.notes)
    if notes and not choices.options:
        notes.append("Ask the user for the value, or have the key's rights extended.")
    return FoundOptions(
        options=tuple(
            FoundOption(
                value=each.value,
                label=each.label,
                sets=dict(each.sets),
                unsuitable=tuple(map(str, each.unsuitable)),
            )
            for each in shown
        ),
        total=len(found),
        note=" ".join(notes) or None,
        next=f"call again with page={call.page + 1}" if more and shown else None,
    )


async def choices_of(
    api: ApiClient, neighbours: Neighbours, kind: str, parents: Mapping[str, str], needs: Needs
) -> Choices:
    """All options of a kind, suitable ones first. What cannot be read is a note, not an error."""
    notes: list[str] = []

    async def read(request: Lookup) -> list[Item]:
        try:
            return await neighbours.all(request, Item)
        except AimlopsError as error:
            notes.append(error.happened)
            return []

    lists = await together(*(partial(read, request) for request in requests_of(kind, parents)))
    items = sorted((item for each in lists for item in each), key=lambda item: (item.order, item.label))
    options = [item.option(needs) for item in items]
    if kind == "clusters" and options:
        options = await _with_platforms(api, options, notes)
    return Choices(sorted(options, key=lambda each: len(each.unsuitable)), tuple(dict.fromkeys(notes)))


async def _with_platforms(api: ApiClient, clusters: list[Option], notes: list[str]) -> list[Option]:
    """Clusters, with the platforms that they carry already."""
    try:
        platforms = await walk(api, ListPlatforms(size=100))
    except AimlopsError as error:
        notes.append(f"Which clusters carry a platform is not known: {error.happened}")
        return clusters
    names = {platform.cluster_id: platform.release_name for platform in platforms}
    return [
        replace(each, unsuitable=(*each.unsuitable, said("it carries platform {name}", name=names[each.value])))
        if each.value in names
        else each
        for each in clusters
    ]
