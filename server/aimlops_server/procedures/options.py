"""find_options: what an id can be, suitable choices first, and why the others probably will not do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from aimlops_tools.lookup import Item, Lookup, Needs, Option, said
from aimlops_tools.models.platforms import ListPlatforms
from aimlops_tools.procedure import PARENT_OF, FindOptions, FoundOption, FoundOptions

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, InvalidArguments, Refused
from aimlops_server.neighbours import Neighbours, requests_of
from aimlops_server.paging import walk
from aimlops_server.together import together

_FINDERS = {"cluster_id": 'find_options(kind="clusters")', "hosted_zone_id": 'find_options(kind="hosted_zones")'}


@dataclass(frozen=True, slots=True)
class Choices:
    """Options of one kind; `notes` say what could not be read, `advice` what an assistant does about it."""

    options: list[Option]
    notes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


async def find_options(api: ApiClient, call: FindOptions) -> FoundOptions:
    """Answer one call.

    Raises:
        InvalidArguments: the id of the thing whose parts are asked for is missing.
    """
    parents = {name: value for name in PARENT_OF.values() if (value := getattr(call, name))}
    needed = PARENT_OF.get(call.kind)
    if needed and needed not in parents:
        raise InvalidArguments(f"{needed}: required for kind {call.kind}.", f"find it with {_FINDERS[needed]}")
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
        note=" ".join([*choices.notes, *choices.advice]) or None,
        next=f"call again with page={call.page + 1}" if more and shown else None,
    )


async def choices_of(
    api: ApiClient, neighbours: Neighbours, kind: str, parents: Mapping[str, str], needs: Needs
) -> Choices:
    """All options of a kind, suitable ones first. What cannot be read is a note, not an error."""
    notes: list[str] = []
    advice: list[str] = []

    async def read(request: Lookup) -> list[Item]:
        try:
            return await neighbours.all(request, Item)
        except AimlopsError as error:
            notes.append(error.happened)
            advice.append(_advice(kind, error))
            return []

    lists = await together(*(partial(read, request) for request in requests_of(kind, parents)))
    items = sorted((item for each in lists for item in each), key=lambda item: (item.order, item.label))
    options = [item.option(needs) for item in items]
    if kind == "clusters" and options:
        options = await _with_platforms(api, options, notes)
    return Choices(sorted(options, key=lambda each: len(each.unsuitable)), _once(notes), _once(advice))


def _once(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _advice(kind: str, error: AimlopsError) -> str:
    if isinstance(error, Refused) and error.status == 404 and kind in PARENT_OF:
        return f"Find the right {PARENT_OF[kind]} with {_FINDERS[PARENT_OF[kind]]}."
    if isinstance(error, Refused) and error.status == 403:
        return "Ask the user for the value, or have the key's rights extended."
    return f"Next: {error.next_step}."


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
