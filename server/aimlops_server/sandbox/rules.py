"""What the service checks, in which order, and what it answers to a well-formed request.

Order: format, permission, existence, state, quota. Authentication and version come before and are not its business.
Every rule without another word is inferred: no successful change of the real service was ever recorded.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aimlops_tools import Effect, Operation, clusters, images, platforms
from aimlops_tools.lookup import Lookup
from pydantic import JsonValue

from aimlops_server.sandbox import changes, reads
from aimlops_server.sandbox.forms import JsonObject, read_body, read_query
from aimlops_server.sandbox.neighbours.answers import action_name, answer_lookup, read_lookup_query
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.replies import Ids, Refusal, Reply, json_reply, not_permitted
from aimlops_server.sandbox.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """One request that has come through authentication and version, and what it acts on.

    `fails_later`: the change it starts will end in FAILED.
    """

    operation: type[Operation[Any]]
    version: str
    path_values: Mapping[str, str]
    raw_query: str
    world: World
    profile: Profile
    ids: Ids
    body: bytes = field(default=b"", repr=False)
    fails_later: bool = False


def answer(call: Call) -> Reply:
    """Act and answer.

    Raises:
        Refusal: a check failed; nothing was changed.
    """
    spec = call.operation.spec
    if issubclass(call.operation, Lookup):
        query = read_lookup_query(call.operation, call.path_values, call.raw_query)
        _check_permission(call)
        return json_reply(spec.status, answer_lookup(call.operation, query, call.world, call.profile))
    arguments: JsonObject = {**call.path_values}
    _check_ids(arguments)
    arguments |= read_query(call.operation, call.raw_query, call.profile) if spec.method in {"GET", "DELETE"} else {}
    if spec.method in {"POST", "PUT"}:
        arguments |= read_body(call.operation, call.version, call.body, call.profile)
    if check := _FORMAT_CHECKS.get(call.operation):
        check(arguments)
    _check_permission(call)
    if spec.effect is Effect.READ:
        return json_reply(spec.status, _READS[call.operation](arguments, call.world, call.profile))
    change = changes.Change(arguments, call.world, call.profile, call.ids, call.fails_later)
    resource_id = _CHANGES[call.operation](change)
    if call.operation.answer() is None:
        return Reply(spec.status)
    return json_reply(spec.status, changes.accepted(resource_id, call.ids))


def _check_ids(arguments: JsonObject) -> None:
    if "cluster_id" in arguments:
        changes.check_cluster_id(arguments["cluster_id"])
    if "release_id" in arguments and not re.fullmatch(r"[0-9a-fA-F]{32}", str(arguments["release_id"])):
        raise Refusal(400, "BadRequest", "Release ID should be 32-letter UUID format")


def _check_permission(call: Call) -> None:
    operation, spec = call.operation, call.operation.spec
    if operation.tool_name() in call.profile.denied or spec.service in call.profile.denied_services:
        name = action_name(operation) if issubclass(operation, Lookup) else operation.__name__
        raise not_permitted(f"{spec.service}:{name}", spec.effect.value)


# By class, so that a renamed operation is a type error here; a test holds that none is missing.
_READS: dict[type[Operation[Any]], Callable[[JsonObject, World, Profile], JsonValue]] = {
    platforms.ListPlatforms: reads.list_platforms,
    platforms.GetPlatform: reads.get_platform,
    platforms.CheckPlatformName: reads.check_platform_name,
    images.ListImages: reads.list_images,
    clusters.ListNodes: reads.list_nodes,
    clusters.ListStorageClasses: reads.list_storage_classes,
    clusters.CheckClusterVersion: reads.check_cluster_version,
    clusters.ValidateClusterNamespace: reads.validate_cluster_namespace,
    clusters.ValidateClusterResources: reads.validate_cluster_resources,
}
_CHANGES: dict[type[Operation[Any]], Callable[[changes.Change], str]] = {
    platforms.CreatePlatform: changes.create_platform,
    platforms.UpdatePlatform: changes.update_platform,
    platforms.DeletePlatform: changes.delete_platform,
}
_FORMAT_CHECKS: dict[type[Operation[Any]], Callable[[JsonObject], None]] = {
    platforms.CreatePlatform: changes.check_create_form,
    platforms.UpdatePlatform: changes.check_update_form,
}
