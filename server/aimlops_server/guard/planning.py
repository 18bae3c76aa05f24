"""Makes the plan of a change by reading what it touches. Sends reads only."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from aimlops_tools import Operation
from aimlops_tools.fields import Check as CheckOperation
from aimlops_tools.models.clusters import (
    CheckClusterVersion,
    ListNodes,
    ValidateClusterNamespace,
    ValidateClusterResources,
)
from aimlops_tools.models.images import ListImages
from aimlops_tools.models.platforms import (
    AiMlOpsPlatformDetailResponse,
    CheckPlatformName,
    CreatePlatform,
    DeletePlatform,
    GetPlatform,
    ListPlatforms,
    UpdatePlatform,
)

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, Refused
from aimlops_server.guard.advice import shape_advice
from aimlops_server.guard.plan import Check, Finding, Plan, Where, quoted
from aimlops_server.guard.undo import undo_delete, undo_update
from aimlops_server.paging import MAX_ITEMS, walk
from aimlops_server.settings import Settings

NAMES_SHOWN = 8
# Stands in a shown request for the password that a person types on the approval page.
TYPED_ON_PAGE = "(typed on the approval page)"
# The service's code for a well-formed id that it does not know (facts 5).
NO_SUCH_ONE = "PRODUCT-AI-ANALYTICS-USER-0002"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans changes over one client."""

    settings: Settings
    api: ApiClient
    asker: str

    async def plan(self, operation: Operation[Any]) -> Plan:
        """The plan of a change as things stand now.

        Raises:
            AimlopsError: what the change touches cannot be read, so it cannot be shown to anyone.
        """
        match operation:
            case CreatePlatform():
                return await self._create(operation)
            case UpdatePlatform():
                return await self._update(operation)
            case DeletePlatform():
                return await self._delete(operation)
            case _:
                raise TypeError(f"{operation.tool_name()} has no plan: declare one here")

    def where(self, operation: Operation[Any] | None) -> Where:
        """Where a change goes.

        Raises:
            ConfigurationError: the keys are missing.
        """
        version = self.settings.api_version
        return Where.of(self.settings, operation.spec.version(version) if operation else version)

    def _plan(self, operation: Operation[Any], headline: str, **shown: Any) -> Plan:
        request = self.api.wire(operation)
        return Plan(
            headline=headline,
            where=self.where(operation),
            method=request.method,
            url=self.settings.base_url + request.target,
            body=operation.shown_body(),
            asker=self.asker,
            **shown,
        )

    async def _create(self, create: CreatePlatform) -> Plan:
        version = self.api.wire(create).version  # refuses a field that this version lacks, before anything is read
        platform = create.ai_ml_ops_platform_create_request
        engine = create.kubernetes_engine_create_request
        on = "a new cluster" if engine is None else f"new cluster {quoted(engine.kubernetes_engine_name)}"
        if platform.cluster_id:
            on = f"existing cluster {platform.cluster_id}"
        asks_password = platform.initial_user_password is None
        return self._plan(
            create.with_password_reference(TYPED_ON_PAGE) if asks_password else create,
            f"CREATE {platform.ai_ml_ops_platform_type} platform {quoted(platform.release_name)} on {on}. "
            "It costs money every hour until it is deleted.",
            target=target_of(create),
            checks=(*await self._preflight(create), *shape_advice(create, version)),
            asks_password=asks_password,
        )

    async def _preflight(self, create: CreatePlatform) -> list[Check]:
        """The checks that the API itself offers, run at once."""
        platform = create.ai_ml_ops_platform_create_request
        checks = [lambda: self._name(platform.release_name), lambda: self._image(create)]
        if cluster_id := platform.cluster_id:
            kind = "enterprise" if platform.ai_ml_ops_platform_type == "Enterprise" else "mini"
            namespace = ValidateClusterNamespace(cluster_id=cluster_id)
            resources = ValidateClusterResources(cluster_id=cluster_id, product_type=kind)
            checks += [
                lambda: self._version(cluster_id),
                lambda: self._inferred("namespace", namespace, good=False),
                lambda: self._inferred("resources", resources, good=True),
            ]
        return await _all_at_once(*checks)

    async def _name(self, name: str) -> Check:
        try:
            taken = (await self.api.read(CheckPlatformName(release_name=name))).result
        except Refused as refused:
            return _not_allowed("name", refused)
        return Check(
            "name", Finding.STOP if taken else Finding.PASS, f"{quoted(name)}: {CheckPlatformName.meaning(taken)}"
        )

    async def _image(self, create: CreatePlatform) -> Check:
        platform = create.ai_ml_ops_platform_create_request
        wanted = platform.ai_ml_ops_platform_type
        try:
            images = await walk(self.api, ListImages(size=100))
        except Refused as refused:
            return _not_allowed("image", refused)
        image = next((image for image in images if image.image_id == platform.image_id), None)
        if image is None:
            known = _some([f"{image.image_id} ({image.kind()})" for image in images])
            return Check("image", Finding.STOP, f"there is no image {quoted(platform.image_id)}; there are: {known}")
        if image.kind() == wanted:
            return Check("image", Finding.PASS, f"{image.image_name} ({wanted})")
        # Read from the base image's name, the type is a guess; from its own field it is not.
        finding = Finding.STOP if image.product_type else Finding.ADVICE
        return Check("image", finding, f"{image.image_name} is for {image.kind() or 'an unknown type'}, not {wanted}")

    async def _version(self, cluster_id: str) -> Check:
        """This API knows a cluster's Kubernetes version only from its nodes, and only once a platform is there."""
        try:
            nodes = (await self.api.read(ListNodes(cluster_id=cluster_id, size=1))).items
            version = next((node.kubernetes_version for node in nodes if node.kubernetes_version), None)
        except AimlopsError:
            version = None
        if version is None:
            return Check(
                "version",
                Finding.UNKNOWN,
                "this API does not tell the cluster's Kubernetes version before a platform is deployed on it; ask the "
                "user for it and call check_cluster_version",
            )
        check = CheckClusterVersion(cluster_id=cluster_id, version=version.removeprefix("v"))
        return await self._inferred("version", check, good=True)

    async def _inferred(self, name: str, check: CheckOperation, *, good: bool) -> Check:
        """A check whose meaning is not documented: shown, never a reason to stop (facts 5)."""
        try:
            result = (await self.api.read(check)).result
        except Refused as refused:
            if refused.code == NO_SUCH_ONE:
                return Check(name, Finding.STOP, "there is no such cluster")
            return Check(name, Finding.UNKNOWN, refused.happened)
        except AimlopsError as error:
            return Check(name, Finding.UNKNOWN, error.happened)
        return Check(name, Finding.PASS if result is good else Finding.ADVICE, check.meaning(result))

    async def _update(self, update: UpdatePlatform) -> Plan:
        live = await self.api.read(GetPlatform(release_id=update.release_id))
        endpoint = update.ai_ml_ops_platform_endpoint_type
        service = update.ai_ml_ops_platform_domain_service
        changes: list[str] = []
        lost: list[str] = []
        if endpoint:
            changes.append(f"endpoint {live.ai_ml_ops_platform_endpoint_type or 'unknown'} → {endpoint}")
            lost.append(
                "the dashboard becomes reachable from the internet"
                if endpoint == "Public"
                else "those who reach the dashboard from the internet lose it"
            )
        if service:
            name = service.domain_service_name or service.record_name or service.record_id or ""
            changes.append(f"DNS record {service.operation_type or ''} {quoted(name)}")
        return self._plan(
            update,
            f"UPDATE platform {quoted(live.release_name)}: {', '.join(changes)}.",
            target=target_of(update),
            lost=tuple(lost),
            live=_live(live),
            undo=undo_update(update, live),
        )

    async def _delete(self, delete: DeletePlatform) -> Plan:
        live = await self.api.read(GetPlatform(release_id=delete.release_id))
        typed = {"release_name": live.release_name}
        lost = ["its notebooks, pipelines, models and their volumes"]
        headline = f"DELETE platform {quoted(live.release_name)}. It cannot be undone."
        if delete.with_k8s:
            cluster = live.cluster_name or live.cluster_id
            typed["cluster_name"] = cluster
            headline = (
                f"DELETE platform {quoted(live.release_name)} AND ITS WHOLE KUBERNETES CLUSTER {quoted(cluster)}. "
                "It cannot be undone."
            )
            lost += await _all_at_once(lambda: self._others(live), lambda: self._nodes(live.cluster_id))
            lost.append("every other workload on the cluster")
        return self._plan(
            delete,
            headline,
            target=target_of(delete),
            lost=tuple(lost),
            live=_live(live),
            typed=typed,
            undo=undo_delete(delete, live),
        )

    async def _others(self, live: AiMlOpsPlatformDetailResponse) -> str:
        # All platforms, not the list's cluster_name filter: whether that one matches exactly is not known.
        everyone = await walk(self.api, ListPlatforms(size=100))
        names = [
            quoted(platform.release_name)
            for platform in everyone
            if platform.cluster_id == live.cluster_id and platform.release_id != live.release_id
        ]
        cut = f" (only the first {MAX_ITEMS} platforms were looked at)" if len(everyone) == MAX_ITEMS else ""
        return f"other platforms on the cluster: {_some(names) or 'none'}{cut}"

    async def _nodes(self, cluster_id: str) -> str:
        try:
            nodes = await walk(self.api, ListNodes(cluster_id=cluster_id, size=100))
        except Refused as refused:
            if refused.status != 404:
                raise
            # Nodes are listed only while a platform is deployed there (facts 5).
            return "all nodes of the cluster; the service does not list them now"
        return f"{len(nodes)} nodes: {_some([node.name or 'unnamed' for node in nodes])}"


def target_of(operation: Operation[Any]) -> str:
    """What a change touches: a platform by id, or by name while it has none."""
    match operation:
        case CreatePlatform():
            return f"name {operation.ai_ml_ops_platform_create_request.release_name}"
        case UpdatePlatform() | DeletePlatform():
            return f"platform {operation.release_id}"
        case _:
            raise TypeError(f"{operation.tool_name()} has no target: declare one here")


def _not_allowed(name: str, refused: Refused) -> Check:
    """A key that may create but not look: the person is told, and decides."""
    if refused.status != 403:
        raise refused
    return Check(name, Finding.UNKNOWN, refused.happened)


def _some(names: list[str]) -> str:
    rest = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _live(live: AiMlOpsPlatformDetailResponse) -> dict[str, str]:
    """The live state that a person should recognise the platform by; any change in it makes another plan."""
    shown = {
        "id": live.release_id,
        "type": live.ai_ml_ops_platform_type,
        "version": live.version,
        "state": live.release_state,
        "endpoint": live.ai_ml_ops_platform_endpoint_type,
        "DNS": json.dumps(live.ai_ml_ops_platform_domain_service or "", ensure_ascii=False).strip('"'),
        "cluster": live.cluster_name or live.cluster_id,
        "cluster state": live.cluster_state,
        "project": live.project_name,
        "created by": live.created_by,
        "created at": live.created_dt,
        "last changed": live.modified_dt,
    }
    return {name: value for name, value in shown.items() if value}


async def _all_at_once(*reads: Callable[[], Awaitable[T]]) -> list[T]:
    """The results of reads sent together, in order; the first one's error if any failed."""
    results: dict[int, T] = {}
    errors: dict[int, AimlopsError] = {}

    async def run(place: int, read: Callable[[], Awaitable[T]]) -> None:
        try:
            results[place] = await read()
        except AimlopsError as error:
            errors[place] = error

    async with anyio.create_task_group() as group:
        for place, read in enumerate(reads):
            group.start_soon(run, place, read)
    if errors:
        raise errors[min(errors)]
    return [results[place] for place in range(len(reads))]
