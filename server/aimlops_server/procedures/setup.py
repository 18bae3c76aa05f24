"""check_setup: whether this server can work, and if not, what a person does about it."""

import os
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from aimlops_tools.lookup import Lookup
from aimlops_tools.models import neighbours as n
from aimlops_tools.models.platforms import ListPlatforms
from aimlops_tools.operation import PRODUCT
from aimlops_tools.procedure import Setup, SetupCheck

from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, ConfigurationError, Refused, Unreachable
from aimlops_server.settings import Settings
from aimlops_server.together import together

# The gateway's own limit is not documented; a clock that is off by less has never been a reason for a refusal here.
MAX_SKEW_S = 60.0
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# Well below what a client waits for a tool; the checks take turns, so it is one end for all.
WAIT_S = 20.0
# One small read of each neighbouring service; a test holds that none is missing.
SAMPLES: tuple[Lookup, ...] = (
    n.KubernetesVersions(),
    n.Vpcs(size=1),
    n.SecurityGroups(size=1),
    n.FileVolumes(limit=1),
    n.Keypairs(limit=1),
    n.LoadBalancers(size=1),
    n.HostedZones(size=1),
    n.AccountQuotas(size=1),
)


async def check_setup(api: ApiClient, settings: Settings, wait_s: float = WAIT_S) -> Setup:
    """All checks; none of them raises."""
    keys = _keys(settings)
    made: dict[str, Callable[[], Awaitable[list[SetupCheck]]]] = {
        "network": lambda: _network(api, settings),
        "version": lambda: _versions(api, settings),
    }
    if keys.finding == "pass":
        made["accepted"] = lambda: _accepted(api)
        if settings.reaches_neighbours:
            made |= {sample.spec.service: partial(_reading, api, sample) for sample in SAMPLES}
        else:
            made["neighbours"] = _neighbours_off
    end_s = anyio.current_time() + wait_s
    found = await together(*(_bounded(name, check, end_s, wait_s) for name, check in made.items()))
    found.insert(0, [keys])
    checks = tuple(check for checks in found for check in checks)
    return Setup(
        # A signed call that went through needs all the rest: keys, network, clock and version.
        ready=any(check.name == "accepted" and check.finding == "pass" for check in checks),
        checks=checks,
        settings={
            "region": settings.region,
            "environment": settings.environment,
            "account_id": settings.account_id or "not set: the key's own",
            "endpoint": settings.base_url,
            "api_version": settings.api_version,
            "confirm": settings.confirm,
            "read_only": settings.read_only,
        },
    )


def _keys(settings: Settings) -> SetupCheck:
    try:
        keys = settings.keys
    except ConfigurationError as error:
        return _fail("keys", error.happened + " Nothing that needs them was checked.", error.next_step)
    return _pass("keys", f"set; the access key starts with {keys.access_key[:4]}…")


async def _network(api: ApiClient, settings: Settings) -> list[SetupCheck]:
    """Whether the service answers at all, by which way, and how far the clocks are apart."""
    proxies, certificates = ([f"{n} is set" for n in names if os.environ.get(n)] for names in (PROXIES, CERTIFICATES))
    way = [*proxies, *certificates]
    through = f" ({', '.join(way)})" if way else " (no proxy, the system's certificates)"
    try:
        skew_s = await api.clock_skew_s()
    except Unreachable as error:
        mend = "check the network and the region"
        if "CERTIFICATE" in error.happened.upper():
            mend = "a proxy that opens TLS is in the way: put its CA's file into SSL_CERT_FILE"
        elif proxies:
            mend = "check the proxy"
        return [_fail("network", error.happened + through, mend)]
    found = [_pass("network", f"{settings.base_url} answers{through}")]
    if skew_s is None:
        found.append(_unknown("clock", "the service told no time"))
    elif abs(skew_s) > MAX_SKEW_S:
        ahead = "ahead of" if skew_s > 0 else "behind"
        detail = f"this machine's clock is {abs(skew_s):.0f} s {ahead} the service's"
        found.append(_fail("clock", detail, "synchronise this machine's clock (NTP): signatures carry the time"))
    else:
        found.append(_pass("clock", f"within {abs(skew_s):.0f} s of the service's"))
    return found


async def _versions(api: ApiClient, settings: Settings) -> list[SetupCheck]:
    offered = await api.versions(PRODUCT)
    if not offered:
        return [_unknown("version", "the service's list of versions could not be read")]
    words = ", ".join(f"{version.id} {version.status}" for version in offered)
    if settings.api_version in {version.id for version in offered if version.status != "PLANNED"}:
        return [_pass("version", f"{settings.api_version} is used; offered: {words}")]
    newest = next((version.id for version in offered if version.status == "CURRENT"), offered[0].id)
    return [_fail("version", f"{settings.api_version} is not offered: {words}", f"set SCP_API_VERSION={newest}")]


async def _accepted(api: ApiClient) -> list[SetupCheck]:
    """Whether a signed call goes through: the keys, and the product in this region."""
    try:
        platforms = await api.read(ListPlatforms(size=1))
    except Refused as error:
        return [_fail("accepted", error.happened, error.next_step)]
    except AimlopsError as error:
        return [_unknown("accepted", error.happened)]
    return [_pass("accepted", f"the keys are accepted and the product is enabled; {platforms.total} platforms")]


async def _neighbours_off() -> list[SetupCheck]:
    why = "SCP_ENDPOINT is one service's address: find_options and the checks of ids are off"
    return [_fail("neighbours", why, "put {service} into SCP_ENDPOINT, or unset it")]


async def _reading(api: ApiClient, sample: Lookup) -> list[SetupCheck]:
    service = sample.spec.service
    try:
        await api.read(sample)
    except Refused as error:
        if error.status == 401:
            return [_unknown(service, "the keys are not accepted (HTTP 401)")]
        return [_fail(service, error.happened, error.next_step + "; until then its values come from the user")]
    except AimlopsError as error:
        return [_unknown(service, error.happened)]
    return [_pass(service, "can be read")]


def _bounded(
    name: str, check: Callable[[], Awaitable[list[SetupCheck]]], end_s: float, wait_s: float
) -> Callable[[], Awaitable[list[SetupCheck]]]:
    async def run() -> list[SetupCheck]:
        with anyio.CancelScope(deadline=end_s):
            return await check()
        return [_unknown(name, f"no answer within {wait_s:g} s")]

    return run


def _pass(name: str, detail: str) -> SetupCheck:
    return SetupCheck(name=name, finding="pass", detail=detail)


def _fail(name: str, detail: str, do: str) -> SetupCheck:
    return SetupCheck(name=name, finding="fail", detail=detail, do=do)


def _unknown(name: str, detail: str) -> SetupCheck:
    return SetupCheck(name=name, finding="could not check", detail=detail)
