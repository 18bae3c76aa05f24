"""Whether a create can work: every check that can be made from outside, run at once, each with what mends it.

Certain are the answers that the API documents: a taken name, an image that does not exist or is for the other type, an
unknown cluster. All else is inferred, from what the neighbouring services show and from their own rules (facts 8): it
is shown to the person and never stops a create.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

import anyio
from aimlops_tools.fields import Check as CheckOperation
from aimlops_tools.lookup import Item, Lookup, Needs, Option
from aimlops_tools.models import neighbours as n
from aimlops_tools.models.clusters import (
    CheckClusterVersion,
    ListNodes,
    ListStorageClasses,
    ValidateClusterNamespace,
    ValidateClusterResources,
)
from aimlops_tools.models.images import ListImages
from aimlops_tools.models.platforms import (
    CheckPlatformName,
    CreatePlatform,
    KubeflowResponse,
    KubernetesEngineCreateRequest,
    ListPlatforms,
    NodePoolCreateRequest,
)

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, Refused
from aimlops_server.guard.plan import Check, Finding, quoted, some
from aimlops_server.guard.shape import shape_checks
from aimlops_server.neighbours import Neighbours
from aimlops_server.paging import walk
from aimlops_server.together import shared, together
from aimlops_server.wording import Wording

# The service's code for a well-formed id that it does not know (facts 5).
NO_SUCH_ONE = "PRODUCT-AI-ANALYTICS-USER-0002"
_ORDER = (Finding.FAIL, Finding.UNKNOWN, Finding.PASS)
# A check that has no result by then is reported as not made.
WAIT_S = 20.0

Checks = list[Check]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Checks creates over one client."""

    api: ApiClient
    say: Wording
    api_version: str
    wait_s: float = WAIT_S

    async def checks(self, create: CreatePlatform) -> tuple[Check, ...]:
        """All checks, failures first.

        Raises:
            AimlopsError: the product's own API cannot be read, so nothing can be said.
        """
        platforms = shared(lambda: walk(self.api, ListPlatforms(size=100)))
        run = _Run(self.api, self.say, create, Neighbours(self.api, max_age_s=self.wait_s), platforms)
        end_s = anyio.current_time() + self.wait_s
        results = await together(*(self._bounded(check, end_s) for check in run.all()))
        found = [*shape_checks(create, self.api_version, self.say), *(check for checks in results for check in checks)]
        return tuple(sorted(_merged(found), key=lambda check: (_ORDER.index(check.finding), check.inferred)))

    def _bounded(self, check: "_Reads", end_s: float) -> Callable[[], Awaitable[Checks]]:
        async def run() -> Checks:
            # One end for all: the checks wait for each other's turns.
            with anyio.CancelScope(deadline=end_s):
                return await check.make()
            words = self.say("no answer within {seconds} s", seconds=f"{self.wait_s:g}")
            return [Check(check.name, Finding.UNKNOWN, words)]

        return run


def _merged(checks: Checks) -> Checks:
    """What could not be checked for one and the same reason, as one check."""
    merged: dict[object, Check] = {}
    for place, check in enumerate(checks):
        key: object = check.detail if check.finding is Finding.UNKNOWN and not check.fix else place
        first = merged.get(key)
        merged[key] = replace(first, name=f"{first.name}, {check.name}") if first else check
    return list(merged.values())


@dataclass(frozen=True, slots=True)
class _Reads:
    """A check that needs reading."""

    name: str
    make: Callable[[], Awaitable[Checks]]


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the checks that need reading."""

    api: ApiClient
    say: Wording
    create: CreatePlatform
    neighbours: Neighbours
    platforms: Callable[[], Awaitable[list[KubeflowResponse]]]

    def all(self) -> Iterator[_Reads]:
        platform = self.create.ai_ml_ops_platform_create_request
        yield _Reads("name", self._name)
        yield _Reads("image", self._image)
        if platform.cluster_id:
            yield from self._on_cluster(platform.cluster_id)
        if engine := self.create.kubernetes_engine_create_request:
            yield from self._engine(engine)
        if pool := self.create.node_pool_create_request:
            yield from self._pool(pool)
        yield _Reads("quota", self._quotas)

    def _pass(self, name: str, detail: str, *, inferred: bool = False) -> Check:
        return Check(name, Finding.PASS, detail, inferred)

    def _probably(self, name: str, detail: str, fix: str = "") -> Check:
        return Check(name, Finding.FAIL, detail, inferred=True, fix=fix)

    def _unknown(self, name: str, error: AimlopsError, fix: str = "") -> Check:
        if isinstance(error, Refused) and error.status == 403:
            # The same words for all of them: a person reads one line, not one with its own request id for each.
            return Check(name, Finding.UNKNOWN, self.say("the key may not look it up (HTTP 403)"), fix=fix)
        return Check(name, Finding.UNKNOWN, error.happened, fix=fix)

    async def _name(self) -> Checks:
        name = self.create.ai_ml_ops_platform_create_request.release_name
        try:
            taken = (await self.api.read(CheckPlatformName(release_name=name))).result
        except Refused as refused:
            return [self._unknown("name", _not_allowed(refused))]
        if taken:
            detail = self.say("{name} is taken", name=quoted(name))
            return [Check("name", Finding.FAIL, detail, fix=self.say("choose another; check_platform_name tells"))]
        return [self._pass("name", self.say("{name} is free", name=quoted(name)))]

    async def _image(self) -> Checks:
        platform = self.create.ai_ml_ops_platform_create_request
        wanted = platform.ai_ml_ops_platform_type
        try:
            images = await walk(self.api, ListImages(size=100))
        except Refused as refused:
            return [self._unknown("image", _not_allowed(refused))]
        image = next((image for image in images if image.image_id == platform.image_id), None)
        if image is None:
            known = some([f"{image.image_id} ({image.kind()})" for image in images], self.say)
            detail = self.say("there is no {what}; there are: {known}", what=quoted(platform.image_id), known=known)
            return [Check("image", Finding.FAIL, detail, fix="list_images")]
        if image.kind() == wanted:
            return [self._pass("image", f"{image.image_name} ({wanted})")]
        detail = self.say(
            "{image} is for {kind}, not {wanted}", image=image.image_name, kind=image.kind() or "?", wanted=wanted
        )
        # Read from the base image's name, the type is a guess; from its own field it is not.
        return [Check("image", Finding.FAIL, detail, inferred=not image.product_type, fix="list_images")]

    def _on_cluster(self, cluster_id: str) -> Iterator[_Reads]:
        platform = self.create.ai_ml_ops_platform_create_request
        kind = "enterprise" if platform.ai_ml_ops_platform_type == "Enterprise" else "mini"
        namespace = ValidateClusterNamespace(cluster_id=cluster_id)
        resources = ValidateClusterResources(cluster_id=cluster_id, product_type=kind)
        other = self.say("choose another cluster: {call}", call='find_options(kind="clusters")')
        larger = self.say("add nodes to the cluster, or choose another: {call}", call='find_options(kind="clusters")')
        yield _Reads("cluster", lambda: self._cluster(cluster_id))
        yield _Reads("version", lambda: self._version(cluster_id))
        yield _Reads("namespace", lambda: self._asked("namespace", namespace, good=False, fix=other))
        yield _Reads("resources", lambda: self._asked("resources", resources, good=True, fix=larger))
        yield _Reads("cluster is free", lambda: self._carries_none(cluster_id))
        if platform.storage_class_name:
            yield _Reads("storage class", lambda: self._storage_class(cluster_id, str(platform.storage_class_name)))

    async def _cluster(self, cluster_id: str) -> Checks:
        try:
            (cluster,) = await self.neighbours.all(n.OneCluster(cluster_id=cluster_id), n.Cluster)
        except AimlopsError as error:
            if isinstance(error, Refused) and error.status == 404:
                return [
                    self._probably("cluster", self.say("there is no such cluster"), 'find_options(kind="clusters")')
                ]
            return [self._unknown("cluster", error)]
        except ValueError:
            return [Check("cluster", Finding.UNKNOWN, self.say("the Kubernetes service's answer cannot be read"))]
        return [self._fitting("cluster", cluster.option(Needs()), "clusters")]

    async def _version(self, cluster_id: str) -> Checks:
        version = await self._version_of(cluster_id)
        if version is None:
            detail = self.say("the cluster's Kubernetes version is not known")
            fix = self.say("ask the user for it, then {call}", call="check_cluster_version")
            return [Check("version", Finding.UNKNOWN, detail, fix=fix)]
        check = CheckClusterVersion(cluster_id=cluster_id, version=version.removeprefix("v"))
        fix = self.say("upgrade the cluster, or choose another: {call}", call='find_options(kind="clusters")')
        return await self._asked("version", check, good=True, fix=fix)

    async def _version_of(self, cluster_id: str) -> str | None:
        """From the Kubernetes service; this API knows it only from nodes, once a platform is deployed there."""
        try:
            clusters = await self.neighbours.all(n.OneCluster(cluster_id=cluster_id), n.Cluster)
            if version := next((cluster.kubernetes_version for cluster in clusters), ""):
                return version
        except AimlopsError:
            pass
        try:
            nodes = (await self.api.read(ListNodes(cluster_id=cluster_id, size=1))).items
        except AimlopsError:
            return None
        return next((node.kubernetes_version for node in nodes if node.kubernetes_version), None)

    async def _asked(self, name: str, check: CheckOperation, *, good: bool, fix: str) -> Checks:
        """A check of the API whose meaning is not documented (facts 5)."""
        try:
            result = (await self.api.read(check)).result
        except Refused as refused:
            if refused.code == NO_SUCH_ONE:
                detail = self.say("there is no such cluster")
                return [Check(name, Finding.FAIL, detail, fix='find_options(kind="clusters")')]
            return [self._unknown(name, refused)]
        except AimlopsError as error:
            return [self._unknown(name, error)]
        words = self.say(check.true_means if result else check.false_means)
        return [self._pass(name, words, inferred=True) if result is good else self._probably(name, words, fix)]

    async def _carries_none(self, cluster_id: str) -> Checks:
        name = "cluster is free"
        try:
            platforms = await self.platforms()
        except AimlopsError as error:
            return [self._unknown(name, error)]
        there = [quoted(platform.release_name) for platform in platforms if platform.cluster_id == cluster_id]
        if not there:
            return [self._pass(name, self.say("no platform is on it"), inferred=True)]
        fix = self.say("choose another cluster: {call}", call='find_options(kind="clusters")')
        return [self._probably(name, self.say("it carries {platforms} already", platforms=some(there, self.say)), fix)]

    async def _storage_class(self, cluster_id: str, wanted: str) -> Checks:
        try:
            classes = (await self.api.read(ListStorageClasses(cluster_id=cluster_id))).items
        except AimlopsError as error:
            return [self._unknown("storage class", error)]
        names = [each.name for each in classes if each.name]
        if wanted in names:
            return [self._pass("storage class", wanted)]
        detail = self.say("there is no {what}; there are: {known}", what=quoted(wanted), known=some(names, self.say))
        return [self._probably("storage class", detail, "list_storage_classes")]

    def _engine(self, engine: KubernetesEngineCreateRequest) -> Iterator[_Reads]:
        vpc = Needs(vpc_id=engine.vpc_id)
        in_vpc = f', vpc_id="{engine.vpc_id}"'
        yield _Reads("cluster name", lambda: self._cluster_name(engine.kubernetes_engine_name))
        yield self._listed("Kubernetes version", engine.k8s_version, "kubernetes_versions", n.KubernetesVersions())
        yield self._listed("VPC", engine.vpc_id, "vpcs", n.Vpcs())
        yield self._listed("subnet", engine.subnet_id, "subnets", n.Subnets(), vpc, in_vpc)
        yield _Reads("endpoint", lambda: self._endpoint(engine))
        for group_id in engine.security_group_id_list:
            yield self._listed("security group", group_id, "security_groups", n.SecurityGroups())
        yield self._listed("file volume", engine.volume_id, "file_volumes", n.FileVolumes())
        if engine.cifs_volume_id:
            yield _Reads("CIFS volume", lambda: self._cifs_volume(str(engine.cifs_volume_id)))
        if engine.lb_id:
            yield self._listed("load balancer", engine.lb_id, "load_balancers", n.LoadBalancers(), vpc, in_vpc)

    def _pool(self, pool: NodePoolCreateRequest) -> Iterator[_Reads]:
        yield self._listed("server type", pool.server_type_id, "server_types", n.ServerTypes())
        yield self._listed("volume type", pool.volume_type_name, "volume_types", n.VolumeTypes())
        yield self._listed("key pair", pool.keypair_name, "keypairs", n.Keypairs())
        yield _Reads("node image", lambda: self._node_image(pool))
        yield _Reads("size", lambda: self._size(pool))

    def _listed(
        self, name: str, value: str, kind: str, lookup: Lookup, needs: Needs | None = None, more: str = ""
    ) -> _Reads:
        """Whether a value is in its service's list, and in a fitting state and place."""
        call = f'find_options(kind="{kind}"{more})'

        async def check() -> Checks:
            try:
                items = await self.neighbours.all(lookup, Item)
            except AimlopsError as error:
                return [self._unknown(name, error)]
            item = next((item for item in items if _is_named(item, value)), None)
            if item is None:
                return [self._missing(name, value, [item.value for item in items], call)]
            return [self._fitting(name, item.option(needs or Needs(today=self.api.today())), kind, more)]

        return _Reads(name, check)

    def _missing(self, name: str, value: str, known: list[str], fix: str) -> Check:
        detail = self.say(
            "there is no {what}; there are: {known}", what=quoted(value), known=some(known, self.say) or "–"
        )
        return self._probably(name, detail, fix)

    def _fitting(self, name: str, option: Option, kind: str, more: str = "") -> Check:
        if not option.unsuitable:
            return self._pass(name, option.label, inferred=True)
        reasons = "; ".join(self.say.again(each) for each in option.unsuitable)
        return self._probably(name, f"{option.label}: {reasons}", f'find_options(kind="{kind}"{more})')

    async def _cluster_name(self, wanted: str) -> Checks:
        try:
            clusters = await self.neighbours.all(n.Clusters(), n.Cluster)
        except AimlopsError as error:
            return [self._unknown("cluster name", error)]
        if any(cluster.name == wanted for cluster in clusters):
            detail = self.say("there is a cluster {name} already", name=quoted(wanted))
            return [self._probably("cluster name", detail, self.say("choose another kubernetes_engine_name"))]
        return [self._pass("cluster name", self.say("{name} is free", name=quoted(wanted)), inferred=True)]

    async def _endpoint(self, engine: KubernetesEngineCreateRequest) -> Checks:
        """A public dashboard needs a way in from the internet: a public subnet or a load balancer (inferred)."""
        if self.create.ai_ml_ops_platform_create_request.ai_ml_ops_platform_endpoint_type != "Public" or engine.lb_id:
            return []
        try:
            subnets = await self.neighbours.all(n.Subnets(), n.Subnet)
        except AimlopsError as error:
            return [self._unknown("endpoint", error)]
        subnet = next((subnet for subnet in subnets if subnet.id == engine.subnet_id), None)
        if subnet is None or subnet.type.upper() != "PRIVATE":
            return []
        detail = self.say(
            "the endpoint is Public, but subnet {subnet} is private and there is no lb_id", subnet=subnet.name
        )
        fix = self.say(
            "make the endpoint Private, or {call}", call=f'find_options(kind="subnets", vpc_id="{engine.vpc_id}")'
        )
        return [self._probably("endpoint", detail, fix)]

    async def _cifs_volume(self, wanted: str) -> Checks:
        try:
            volumes = await self.neighbours.all(n.FileVolumes(), n.FileVolume)
        except AimlopsError as error:
            return [self._unknown("CIFS volume", error)]
        call = 'find_options(kind="file_volumes")'
        volume = next((volume for volume in volumes if volume.id == wanted), None)
        if volume is None:
            return [self._missing("CIFS volume", wanted, [each.id for each in volumes], call)]
        if volume.protocol.upper() != "CIFS":
            detail = self.say("{volume} is {protocol}, not CIFS", volume=volume.name, protocol=volume.protocol or "?")
            return [self._probably("CIFS volume", detail, call)]
        return [self._pass("CIFS volume", volume.label, inferred=True)]

    async def _node_image(self, pool: NodePoolCreateRequest) -> Checks:
        engine = self.create.kubernetes_engine_create_request
        version = engine.k8s_version if engine else pool.kubernetes_version or ""
        needs = Needs(kubernetes_version=version, server_type_id=pool.server_type_id)
        more = f', kubernetes_version="{version}", server_type_id="{pool.server_type_id}"'
        kind = "k8s_gpu" if pool.server_type_id.startswith("g") else "k8s"
        try:
            images = await self.neighbours.all(n.NodeImages(scp_original_image_type=kind), n.NodeImage)
        except AimlopsError as error:
            return [self._unknown("node image", error)]
        wanted = f"{pool.image_os} {pool.image_os_version}"
        named = [image for image in images if image.value == wanted]
        if not named:
            known = sorted({image.value for image in images})
            return [self._missing("node image", wanted, known, f'find_options(kind="node_images"{more})')]
        # The best one: an image is listed once for each Kubernetes version.
        image = min(named, key=lambda image: len(tuple(image.unsuitable(needs))))
        found = [self._fitting("node image", image.option(needs), "node_images", more)]
        least_gb = image.min_volume_gb
        if least_gb is not None and pool.volume_size < least_gb:
            detail = self.say(
                "{size} GB is less than the image's {least} GB", size=pool.volume_size, least=f"{least_gb:g}"
            )
            fix = self.say("set volume_size to {least} or more", least=f"{least_gb:g}")
            found.append(self._probably("volume size", detail, fix))
        return found

    async def _size(self, pool: NodePoolCreateRequest) -> Checks:
        """Whether the new cluster's machines are enough together. A larger pool helps as a larger type does."""
        count = pool.desired_node_count or pool.min_node_count
        wanted = self.create.ai_ml_ops_platform_create_request.ai_ml_ops_platform_type
        try:
            types = await self.neighbours.all(n.ServerTypes(), n.ServerType)
        except AimlopsError as error:
            return [self._unknown("size", error)]
        machine = next((each for each in types if each.id == pool.server_type_id), None)
        if machine is None or count is None or machine.vcpu_count is None or machine.ram_gb is None:
            return []  # other checks say why
        vcpus, gb = count * machine.vcpu_count, count * machine.ram_gb
        all_nodes = self.say("{count} nodes: {vcpus} vCPU, {gb} GB", count=count, vcpus=f"{vcpus:g}", gb=f"{gb:g}")
        least_vcpus, least_gb = n.MIN_CLUSTER_VCPUS[wanted], n.MIN_CLUSTER_GB[wanted]
        if vcpus >= least_vcpus and gb >= least_gb:
            return [self._pass("size", all_nodes, inferred=True)]
        needs = self.say("{kind} needs about {vcpus} vCPU, {gb} GB", kind=wanted, vcpus=least_vcpus, gb=least_gb)
        fix = self.say(
            "raise desired_node_count, or take a larger type: {call}", call='find_options(kind="server_types")'
        )
        return [self._probably("size", f"{all_nodes}; {needs}", fix)]

    async def _quotas(self) -> Checks:
        """How many there may be, where the account's quotas say it. Which names they have is not documented."""
        try:
            quotas = await self.neighbours.all(n.AccountQuotas(), n.AccountQuota)
            platforms = await self.platforms()
            new_cluster = self.create.kubernetes_engine_create_request is not None
            clusters = await self.neighbours.all(n.Clusters(), n.Cluster) if new_cluster else []
        except AimlopsError as error:
            return [self._unknown("quota", error)]
        used = {"aimlops": len(platforms)} | ({"ske": len(clusters)} if new_cluster else {})
        found: Checks = []
        for quota in quotas:
            service = next((each for each in used if each in quota.service.lower()), None)
            if service is None or "count" not in quota.quota_item.lower() or not quota.applied_value.isdecimal():
                continue
            what = f"{quota.service} {quota.quota_item}"
            detail = self.say(
                "{what}: {used} of {limit} used", what=what, used=used[service], limit=quota.applied_value
            )
            full = used[service] >= int(quota.applied_value)
            fix = self.say("delete what is not needed, or ask for a higher quota")
            found.append(self._probably("quota", detail, fix) if full else self._pass("quota", detail, inferred=True))
        return found


def _is_named(item: Item, value: str) -> bool:
    if isinstance(item, n.KubernetesVersion):
        return n.same_version(item.value, value)
    return item.value == value


def _not_allowed(refused: Refused) -> Refused:
    """A key that may create but not look: the person is told, and decides."""
    if refused.status != 403:
        raise refused
    return refused
