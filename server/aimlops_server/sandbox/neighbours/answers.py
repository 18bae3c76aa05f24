"""What each look-up answers: which things, under which filters, in which of the services' three ways of paging.

Paths, versions and the envelopes' names come from the declarations; the rest is the services' own and is stated here.
Order, as in the product itself: format, then (elsewhere) permission, then existence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl

from aimlops_tools.lookup import Lookup
from aimlops_tools.models import neighbours as declared
from pydantic import JsonValue

from aimlops_server.sandbox.forms import JsonObject, validation_error
from aimlops_server.sandbox.neighbours import views
from aimlops_server.sandbox.neighbours.world import by_id
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.replies import Refusal
from aimlops_server.sandbox.world import Cluster, World


class Paging(Enum):
    """How a service pages: its parameters that are numbers, with their defaults."""

    WHOLE = ()
    SIZE_PAGE = (("size", 20), ("page", 0))
    OFFSET_LIMIT = (("limit", 20), ("offset", 0))
    LIMIT_MARKER = (("limit", 20),)


@dataclass(frozen=True, slots=True)
class Query:
    """A well-formed look-up: the values in its path, and its parameters; empty ones are left out."""

    path_values: Mapping[str, str]
    texts: Mapping[str, str]
    numbers: Mapping[str, int]


Items = Callable[[Query, World, Profile], list[JsonObject]]
Filter = Callable[[JsonObject, str], bool]


def _filters(*names: str, **others: Filter) -> dict[str, Filter]:
    """Parameters that ask for a field of the same name to be equal, and others."""

    def equal(name: str) -> Filter:
        return lambda item, text: item[name] == text

    return {name: equal(name) for name in names} | others


@dataclass(frozen=True, slots=True)
class Listing:
    """One look-up. `beside` names what the envelope holds besides the items; `required` are parameters with their
    choices. Many lists are known to ignore their page's size and position: these have `ignores_paging`. A `single`
    one holds an object in place of a list."""

    items: Items
    paging: Paging = Paging.WHOLE
    beside: tuple[str, ...] = ()
    filters: Mapping[str, Filter] = field(default_factory=dict[str, Filter])
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    ignores_paging: bool = False
    single: bool = False


def read_lookup_query(operation: type[Lookup], path_values: Mapping[str, str], raw_query: str) -> Query:
    """The look-up's parameters; unknown ones are ignored.

    Raises:
        Refusal: one is missing or malformed.
    """
    listing = _LISTINGS[operation]
    texts = {name: text for name, text in parse_qsl(raw_query, keep_blank_values=True) if text}
    errors: list[str] = []
    numbers = dict(listing.paging.value)
    for name in numbers:
        text = texts.get(name, str(numbers[name]))
        if text.isascii() and text.isdecimal() and len(text) < 10:
            numbers[name] = int(text)
        else:
            errors.append("Input should be a valid integer, unable to parse string as an integer")
    for name, choices in listing.required.items():
        if name not in texts:
            errors.append("Field required")
        elif texts[name] not in choices:
            errors.append(f"{name} [{'|'.join(choices)}]")
    if texts.get("sort", ":asc").partition(":")[2] not in {"asc", "desc"}:
        errors.append("sort [field:asc|field:desc]")
    if errors:
        raise validation_error(*errors)
    return Query(path_values, texts, numbers)


def answer_lookup(operation: type[Lookup], query: Query, world: World, profile: Profile) -> JsonValue:
    """The answer in the service's own envelope.

    Raises:
        Refusal: what the path names does not exist.
    """
    listing = _LISTINGS[operation]
    items = listing.items(query, world, profile)
    if listing.single:
        return {operation.items_name: items[0]}
    found = [
        item
        for item in items
        if all(fits(item, query.texts[name]) for name, fits in listing.filters.items() if name in query.texts)
    ]
    about: JsonObject = {
        "count": len(found),
        "links": [],
        "metadata": {"total_count": len(found)},
        "sort": [query.texts["sort"]] if "sort" in query.texts else [],
        **query.numbers,
    }
    ordered = _sorted(found, query)
    shown: list[JsonValue] = [*(ordered if listing.ignores_paging else _page(ordered, query, listing.paging))]
    return {**{name: about[name] for name in listing.beside}, operation.items_name: shown}


def action_name(operation: type[Lookup]) -> str:
    """What a policy calls it, e.g. `ListClusters`; inferred from the one name that was seen."""
    return "ShowCluster" if operation is declared.OneCluster else f"List{operation.__name__}"


def _sorted(items: list[JsonObject], query: Query) -> list[JsonObject]:
    """As `sort` says, if the items have such a field; else as they are."""
    asked = query.texts.get("sort") or f"{query.texts.get('sort_key', '')}:{query.texts.get('sort_dir', 'asc')}"
    name, _, direction = asked.partition(":")
    if not name or not all(name in item for item in items):
        return items
    return sorted(items, key=lambda item: str(item[name]), reverse=direction == "desc")


def _page(items: list[JsonObject], query: Query, paging: Paging) -> list[JsonObject]:
    numbers = query.numbers
    match paging:
        case Paging.WHOLE:
            return items
        case Paging.SIZE_PAGE:
            start, length = numbers["page"] * numbers["size"], numbers["size"]
        case Paging.OFFSET_LIMIT:
            start, length = numbers["offset"], numbers["limit"]
        case Paging.LIMIT_MARKER:
            start, length = _after_marker(items, query.texts.get("marker")), numbers["limit"]
    return items[start : start + length]


def _after_marker(items: list[JsonObject], marker: str | None) -> int:
    """Where the page starts. That a marker is the last item's id, and that an unknown one is refused, is inferred."""
    if marker is None:
        return 0
    ids = [item["id"] for item in items]
    if marker not in ids:
        raise Refusal(400, "BadRequest", f"marker [{marker}] not found")
    return ids.index(marker) + 1


def _known_cluster(query: Query, world: World) -> Cluster:
    cluster_id = query.path_values["cluster_id"]
    cluster = world.cluster(cluster_id)
    if cluster is None:
        raise Refusal(404, "NotFound", f"Cluster ({cluster_id}) does not exist.")
    return cluster


def _clusters(_: Query, world: World, __: Profile) -> list[JsonObject]:
    return [views.listed_cluster(world, cluster) for cluster in world.clusters()]


def _one_cluster(query: Query, world: World, _: Profile) -> list[JsonObject]:
    return [views.shown_cluster(world, _known_cluster(query, world))]


def _node_pools(query: Query, world: World, _: Profile) -> list[JsonObject]:
    cluster = _known_cluster(query, world)
    return [views.listed_node_pool(world, cluster, pool) for pool in cluster.pools]


def _kubernetes_versions(_: Query, world: World, __: Profile) -> list[JsonObject]:
    return [views.listed_kubernetes_version(each) for each in world.neighbours.kubernetes_versions]


def _node_images(query: Query, world: World, _: Profile) -> list[JsonObject]:
    for_gpus = query.texts["scp_original_image_type"] == "k8s_gpu"
    return [views.listed_node_image(image) for image in world.neighbours.node_images if image.for_gpus is for_gpus]


def _records(query: Query, world: World, _: Profile) -> list[JsonObject]:
    zone_id = query.path_values["hosted_zone_id"]
    zone = by_id(world.neighbours.hosted_zones, zone_id)
    if zone is None:
        raise Refusal(404, "NotFound", f"Hosted zone ({zone_id}) does not exist.")
    return [*views.fields(*zone.records), *views.records_of_platforms(world, zone)]


_PAGED = ("count", "page", "size", "sort")
# By class, so that a renamed look-up is a type error here; a test holds that none is missing.
_LISTINGS: dict[type[Lookup], Listing] = {
    declared.Clusters: Listing(
        _clusters,
        Paging.SIZE_PAGE,
        ("count", "links"),
        _filters("name", "status", "kubernetes_version", "subnet_id"),
    ),
    declared.OneCluster: Listing(_one_cluster, single=True),
    declared.NodePools: Listing(
        _node_pools,
        Paging.SIZE_PAGE,
        ("count", "links"),
        _filters(nodepool_name=lambda item, text: item["name"] == text),
    ),
    declared.KubernetesVersions: Listing(_kubernetes_versions),
    declared.NodeImages: Listing(
        _node_images,
        Paging.SIZE_PAGE,
        ("count", "links"),
        _filters("kubernetes_version", "os"),
        required={"scp_original_image_type": ("k8s", "k8s_gpu")},
    ),
    declared.Vpcs: Listing(
        lambda _, world, __: views.fields(*world.neighbours.vpcs),
        Paging.SIZE_PAGE,
        _PAGED,
        _filters("id", "name", "state", cidr=lambda item, text: {"cidr": text} in _list(item["cidrs"])),
    ),
    declared.Subnets: Listing(
        lambda _, world, __: views.fields(*world.neighbours.subnets),
        Paging.SIZE_PAGE,
        _PAGED,
        _filters("id", "name", "type", "cidr", "state", "vpc_id", "vpc_name"),
    ),
    declared.SecurityGroups: Listing(
        lambda _, world, __: views.fields(*world.neighbours.security_groups),
        Paging.SIZE_PAGE,
        ("count", "links"),
        _filters("id", "name"),
        ignores_paging=True,
    ),
    declared.FileVolumes: Listing(
        lambda _, world, __: views.fields(*world.neighbours.file_volumes),
        Paging.OFFSET_LIMIT,
        ("count",),
        _filters("name", "type_name"),
    ),
    declared.Keypairs: Listing(
        lambda _, world, __: views.fields(*world.neighbours.keypairs),
        Paging.LIMIT_MARKER,
        ignores_paging=True,
    ),
    declared.ServerTypes: Listing(
        lambda _, world, __: views.fields(*world.neighbours.server_types), Paging.LIMIT_MARKER
    ),
    declared.VolumeTypes: Listing(
        lambda _, world, __: views.fields(*world.neighbours.volume_types), Paging.LIMIT_MARKER
    ),
    declared.LoadBalancers: Listing(
        lambda _, world, __: views.fields(*world.neighbours.load_balancers),
        Paging.SIZE_PAGE,
        _PAGED,
        _filters("name", "state", "service_ip", "subnet_id", "layer_type", "vpc_id"),
    ),
    declared.HostedZones: Listing(
        lambda _, world, __: [views.listed_hosted_zone(zone) for zone in world.neighbours.hosted_zones],
        Paging.SIZE_PAGE,
        _PAGED,
        _filters("name", "status", type=lambda item, text: item["hosted_zone_type"] == text),
    ),
    declared.DnsRecords: Listing(
        _records,
        Paging.LIMIT_MARKER,
        ("count", "links", "metadata"),
        _filters(
            "type",
            "status",
            "ttl",
            name=lambda item, text: text in str(item["name"]),
            exact_name=lambda item, text: item["name"] == text,
            data=lambda item, text: text in _list(item["records"]),
        ),
    ),
    declared.AccountQuotas: Listing(
        lambda _, __, profile: views.account_quotas(profile),
        Paging.SIZE_PAGE,
        _PAGED,
        _filters("service", "quota_item"),
    ),
}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
