"""wait_for_platform: looks at a platform until it is what is waited for, has failed, or the time is up."""

from collections.abc import Awaitable, Callable

import anyio
from aimlops_tools.models.platforms import AiMlOpsPlatformDetailResponse
from aimlops_tools.procedure import Until, Waited, WaitForPlatform

from aimlops_server.watching import GONE, UNREADABLE, Look, Watcher

DEPLOYED = "DEPLOYED"
# In minutes; a chain with a new cluster took 49 live, the rest is estimated (facts 5).
USUAL = {
    "deployed": "a create takes about 10 minutes on an existing cluster, 50 with a new one",
    "deleted": "a delete takes about 5 minutes, 20 with the cluster",
    "changed": "an update takes a few minutes",
}
Tell = Callable[[float, float, str], Awaitable[None]]


async def wait_for_platform(
    watcher: Watcher, call: WaitForPlatform, clock_s: Callable[[], float], tell: Tell
) -> Waited:
    """Wait, and `tell` after each look how long it has been, of how long, and what was seen.

    Raises:
        AimlopsError: the first look failed.
    """
    started_s = clock_s()
    first = last = await watcher.look(call.release_id)
    if first.error and not (first.state == GONE and call.until == "deleted"):
        raise first.error
    if _ends(call.until, first, first) or call.timeout_s == 0:
        return _answer(call.until, first, first, 0.0)
    with anyio.move_on_after(call.timeout_s), watcher.looks(call.release_id) as looks:
        async for look in looks:
            waited_s = clock_s() - started_s
            last = last if look.state == UNREADABLE else look
            if _ends(call.until, first, last) or waited_s >= call.timeout_s:
                break
            await tell(waited_s, call.timeout_s, f"{look.state} for {waited_s:.0f} s; {USUAL[call.until]}")
    return _answer(call.until, first, last, clock_s() - started_s)


def has_failed(state: str) -> bool:
    """Whether a state's name is that of a failure (facts 5, inferred: only DEPLOYED is documented)."""
    return "FAIL" in state.upper() or "ERROR" in state.upper()


def _reached(until: Until, first: Look, last: Look) -> bool:
    return {
        "deployed": last.state == DEPLOYED,
        "deleted": last.state == GONE,
        "changed": last.state != first.state,
    }[until]


def _ends(until: Until, first: Look, last: Look) -> bool:
    return _reached(until, first, last) or last.state == GONE or has_failed(last.state)


def _answer(until: Until, first: Look, last: Look, waited_s: float) -> Waited:
    reached = _reached(until, first, last)
    platform = last.platform
    deployed = reached and last.state == DEPLOYED and platform is not None
    return Waited(
        reached=reached,
        state=last.state,
        waited_s=round(waited_s, 1),
        platform=platform,
        access=access(platform) if deployed and platform else None,
        next=_next(until, last, reached),
    )


def _next(until: Until, last: Look, reached: bool) -> str:
    if reached:
        return "tell the user" if until != "deployed" else "tell the user how to reach it (access)"
    if has_failed(last.state):
        return "it failed: call diagnose_platform, and tell the user what it says"
    if last.state == GONE:
        return "the platform is gone: tell the user"
    return f"still {last.state}: call wait_for_platform again ({USUAL[until]})"


def access(platform: AiMlOpsPlatformDetailResponse) -> dict[str, str]:
    """How people reach a deployed platform: address, who can, first log-in, what to do next."""
    kind = platform.ai_ml_ops_platform_endpoint_type or "unknown"
    ip = platform.ai_ml_ops_platform_endpoint_ip_address
    port = platform.ai_ml_ops_platform_endpoint_port
    service = platform.ai_ml_ops_platform_domain_service or {}
    name = service.get("domain_service_name")
    host = str(name) if name else f"{ip}:{port}" if ip and port and port != "443" else ip
    who = {
        "Public": "everyone on the internet reaches the log-in page",
        "Private": "only those inside its VPC, or connected to it, reach it",
    }
    return {
        "dashboard": f"https://{host}" if host else "not told yet",
        "endpoint_type": f"{kind}: {who.get(kind, 'who reaches it is not told')}",
        "first_log_in": f"as {platform.initial_user_email}, with the password given at the create, which no call shows",
        "next_steps": "log in, change the password, add users; it costs money every hour until delete_platform",
    }
