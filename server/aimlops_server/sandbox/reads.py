"""What the reading operations answer from the state."""

import re
from collections.abc import Set

from pydantic import JsonValue

from aimlops_server.sandbox import views
from aimlops_server.sandbox.forms import JsonObject, validation_error
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.replies import Refusal
from aimlops_server.sandbox.world import Cluster, Platform, World

# Live in mid-2026. The reference's example, 1.28.1, is gone.
_KUBERNETES = re.compile(r"v?1\.(31|32|33|34)\.[0-9]{1,2}")
# The code that was seen for a well-formed but unknown release or cluster.
_UNKNOWN = "PRODUCT-AI-ANALYTICS-USER-0002"


def known_platform(world: World, release_id: JsonValue) -> Platform:
    """The platform; raises the 404 of an unknown one."""
    found = world.platform(str(release_id))
    if found is None:
        raise Refusal(404, _UNKNOWN, f"Kubeflow ({release_id}) does not exist.")
    return found


def known_cluster(world: World, cluster_id: JsonValue) -> Cluster:
    """The cluster; raises the 404 of an unknown one."""
    found = world.cluster(str(cluster_id))
    if found is None:
        raise Refusal(404, _UNKNOWN, f"Cluster ({cluster_id}) does not exist.")
    return found


def is_installed(world: World, cluster: Cluster) -> bool:
    return cluster.has_namespaces or bool(world.platforms_on(cluster.cluster_id))


def list_platforms(arguments: JsonObject, world: World, profile: Profile) -> JsonValue:
    items = [views.listed_platform(world, platform) for platform in world.platforms()]
    partly = {"release_name"} if profile.release_name_filter == "substring" else set[str]()
    found = _matching(items, arguments, partly)
    return {"contents": _page(found, arguments), "total_count": len(found)}


def get_platform(arguments: JsonObject, world: World, _: Profile) -> JsonValue:
    return views.platform_details(world, known_platform(world, arguments["release_id"]))


def check_platform_name(arguments: JsonObject, world: World, _: Profile) -> JsonValue:
    """True means taken: the one check whose answer the reference explains."""
    return {"result": any(platform.release_name == arguments["release_name"] for platform in world.platforms())}


def list_images(arguments: JsonObject, world: World, _: Profile) -> JsonValue:
    found = _matching([views.listed_image(image) for image in world.images()], arguments)
    return {"contents": _page(found, arguments), "total_count": len(found)}


def list_nodes(arguments: JsonObject, world: World, _: Profile) -> JsonValue:
    cluster = _deployed_cluster(world, arguments)
    nodes = [views.listed_node(world, cluster, node) for node in cluster.nodes]
    # The default sort names created_dt, a field that nodes do not have: theirs is created_at.
    by_age = arguments | {"sort": re.sub(r"^created_dt:", "created_at:", str(arguments["sort"]))}
    return {"count": len(nodes), "links": [], "nodes": _page(nodes, by_age)}


def list_storage_classes(arguments: JsonObject, world: World, _: Profile) -> JsonValue:
    cluster = _deployed_cluster(world, arguments)
    found: list[JsonValue] = [views.listed_storage_class(world, cluster, item) for item in cluster.storage_classes]
    return {"count": len(found), "links": [], "storage_classes": found}


def check_cluster_version(arguments: JsonObject, world: World, _: Profile) -> JsonValue:
    known_cluster(world, arguments["cluster_id"])
    return {"result": _KUBERNETES.fullmatch(str(arguments["version"])) is not None}


def validate_cluster_namespace(arguments: JsonObject, world: World, profile: Profile) -> JsonValue:
    installed = is_installed(world, known_cluster(world, arguments["cluster_id"]))
    return {"result": installed is profile.installed_is_true}


def validate_cluster_resources(arguments: JsonObject, world: World, _: Profile) -> JsonValue:
    cluster = known_cluster(world, arguments["cluster_id"])
    return {"result": cluster.is_enough_for(str(arguments["product_type"]).capitalize())}


def _deployed_cluster(world: World, arguments: JsonObject) -> Cluster:
    """The cluster, once a release on it was deployed: before that, these lists answer NotFound live."""
    cluster = known_cluster(world, arguments["cluster_id"])
    # Ours: an update or a deletion under way does not hide them again. An endpoint comes with the deployment.
    if not any(platform.endpoint_at(world.now_s()) for platform in world.platforms_on(cluster.cluster_id)):
        raise Refusal(404, "NotFound", "Not Found")
    return cluster


def _matching(items: list[JsonObject], arguments: JsonObject, partly: Set[str] = frozenset()) -> list[JsonObject]:
    """The items that fit every filter: exactly (inferred), or for the names in `partly` in a part."""
    filters = {name: value for name, value in arguments.items() if name not in {"size", "page", "sort"}}

    def fits(item: JsonObject) -> bool:
        return all(
            str(value) in str(item[name]) if name in partly else item.get(name) == value
            for name, value in filters.items()
        )

    return [item for item in items if fits(item)]


def _page(items: list[JsonObject], arguments: JsonObject) -> list[JsonValue]:
    """One page, from 0; a page past the end is empty."""
    name, _, direction = str(arguments["sort"]).partition(":")
    if not name or direction not in {"asc", "desc"}:
        raise validation_error("sort [field:asc|field:desc]")
    # Which fields sort is not documented: any field of the items does.
    if items and not any(name in item for item in items):
        raise validation_error(f"sort [{'|'.join(items[0])}]")
    ordered = sorted(items, key=lambda item: str(item.get(name) or ""), reverse=direction == "desc")
    size, page = int(str(arguments["size"])), int(str(arguments["page"]))
    return [*ordered[page * size : (page + 1) * size]]
