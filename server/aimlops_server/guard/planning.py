"""Makes the plan of a change by reading what it touches. Sends reads only."""

import json
from dataclasses import dataclass
from typing import Any

from aimlops_tools import Operation
from aimlops_tools.models.clusters import (
    ListNodes,
)
from aimlops_tools.models.platforms import (
    AiMlOpsPlatformDetailResponse,
    CreatePlatform,
    DeletePlatform,
    GetPlatform,
    ListPlatforms,
    UpdatePlatform,
)

from aimlops_server.client import ApiClient
from aimlops_server.errors import Refused
from aimlops_server.guard.plan import Plan, Where, quoted, some
from aimlops_server.guard.readiness import Readiness
from aimlops_server.guard.undo import undo_delete, undo_update
from aimlops_server.paging import MAX_ITEMS, walk
from aimlops_server.settings import Settings
from aimlops_server.together import together
from aimlops_server.wording import Wording

# Stands in a shown request for the password that a person types on the approval page.
TYPED_ON_PAGE = "(typed on the approval page)"


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans changes over one client."""

    settings: Settings
    api: ApiClient
    asker: str

    @property
    def say(self) -> Wording:
        """The language of the person who decides."""
        return Wording(self.settings.language)

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
            language=self.settings.language,
            **shown,
        )

    async def _create(self, create: CreatePlatform) -> Plan:
        version = self.api.wire(create).version  # refuses a field that this version lacks, before anything is read
        platform = create.ai_ml_ops_platform_create_request
        engine = create.kubernetes_engine_create_request
        what = {"kind": platform.ai_ml_ops_platform_type, "name": quoted(platform.release_name)}
        if platform.cluster_id:
            where = self.say("CREATE {kind} platform {name} on existing cluster {id}.", **what, id=platform.cluster_id)
        elif engine:
            cluster = quoted(engine.kubernetes_engine_name)
            where = self.say("CREATE {kind} platform {name} on new cluster {cluster}.", **what, cluster=cluster)
        else:
            where = self.say("CREATE {kind} platform {name} on a new cluster.", **what)
        asks_password = platform.initial_user_password is None
        return self._plan(
            create.with_password_reference(TYPED_ON_PAGE) if asks_password else create,
            where + " " + self.say("It costs money every hour until it is deleted."),
            target=target_of(create),
            checks=await Readiness(self.api, self.say, version).checks(create),
            asks_password=asks_password,
        )

    async def _update(self, update: UpdatePlatform) -> Plan:
        live = await self.api.read(GetPlatform(release_id=update.release_id))
        endpoint = update.ai_ml_ops_platform_endpoint_type
        service = update.ai_ml_ops_platform_domain_service
        changes: list[str] = []
        lost: list[str] = []
        if endpoint:
            changes.append(f"{self.say('endpoint')} {live.ai_ml_ops_platform_endpoint_type or '?'} → {endpoint}")
            lost.append(
                self.say("the dashboard becomes reachable from the internet")
                if endpoint == "Public"
                else self.say("those who reach the dashboard from the internet lose it")
            )
        if service:
            name = service.domain_service_name or service.record_name or service.record_id or ""
            changes.append(f"{self.say('DNS record')} {service.operation_type or ''} {quoted(name)}")
        return self._plan(
            update,
            self.say("UPDATE platform {name}: {changes}.", name=quoted(live.release_name), changes=", ".join(changes)),
            target=target_of(update),
            lost=tuple(lost),
            live=_live(live),
            undo=undo_update(update, live),
        )

    async def _delete(self, delete: DeletePlatform) -> Plan:
        live = await self.api.read(GetPlatform(release_id=delete.release_id))
        typed = {"release_name": live.release_name}
        lost = [self.say("its notebooks, pipelines, models and their volumes")]
        name = quoted(live.release_name)
        headline = self.say("DELETE platform {name}.", name=name)
        if delete.with_k8s:
            cluster = live.cluster_name or live.cluster_id
            typed["cluster_name"] = cluster
            headline = self.say(
                "DELETE platform {name} AND ITS WHOLE KUBERNETES CLUSTER {cluster}.", name=name, cluster=quoted(cluster)
            )
            lost += await together(lambda: self._others(live), lambda: self._nodes(live.cluster_id))
            lost.append(self.say("every other workload on the cluster"))
        return self._plan(
            delete,
            headline + " " + self.say("It cannot be undone."),
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
        cut = len(everyone) == MAX_ITEMS
        return self.say("other platforms on the cluster: {names}", names=some(names, self.say) or self.say("none")) + (
            " " + self.say("(only the first {count} platforms were looked at)", count=MAX_ITEMS) if cut else ""
        )

    async def _nodes(self, cluster_id: str) -> str:
        try:
            nodes = await walk(self.api, ListNodes(cluster_id=cluster_id, size=100))
        except Refused as refused:
            if refused.status != 404:
                raise
            # Nodes are listed only while a platform is deployed there (facts 5).
            return self.say("all nodes of the cluster; the service does not list them now")
        names = some([node.name or "?" for node in nodes], self.say)
        return self.say("{count} nodes: {names}", count=len(nodes), names=names)


def target_of(operation: Operation[Any]) -> str:
    """What a change touches: a platform by id, or by name while it has none."""
    match operation:
        case CreatePlatform():
            return f"name {operation.ai_ml_ops_platform_create_request.release_name}"
        case UpdatePlatform() | DeletePlatform():
            return f"platform {operation.release_id}"
        case _:
            raise TypeError(f"{operation.tool_name()} has no target: declare one here")


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
