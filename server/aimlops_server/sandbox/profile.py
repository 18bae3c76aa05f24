"""The switches of the sandbox: points where the live service is not known, has changed, or differs between accounts.

Knows no state and no request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the API as the discovery document shows it."""

    id: str
    status: Literal["CURRENT", "SUPPORTED", "DEPRECATED"]
    not_before: str


@dataclass(frozen=True, slots=True)
class Profile:
    """How this sandbox answers where the real service leaves room."""

    # An operation without any of these versions keeps its own: the two internal lists live in 1.0 alone.
    # Both not_before dates are ours; the discovery document of this product was never recorded.
    versions: tuple[Version, ...] = (Version("1.2", "CURRENT", "2027-09-18"), Version("1.1", "SUPPORTED", "2027-09-18"))
    skew_limit_s: float = 15 * 60
    # A base URL under which a proxy publishes this sandbox; callers may sign either.
    public_base_urls: tuple[str, ...] = ()
    product_enabled: bool = True
    # Operations and look-ups by name, e.g. "create_platform", that the account's policy denies.
    denied: frozenset[str] = frozenset()
    # Services, e.g. "vpc", of which the policy denies everything.
    denied_services: frozenset[str] = frozenset()
    # By neighbouring service; one that is not here has the declared version, and the one before it.
    neighbour_versions: Mapping[str, tuple[Version, ...]] = field(default_factory=dict[str, tuple[Version, ...]])
    duplicate_status: Literal[400, 409] = 409
    busy_status: Literal[400, 409] = 409
    release_name_filter: Literal["exact", "substring"] = "exact"
    # A field newer than the request's version is ignored unless this refuses it.
    refuse_newer_fields: bool = False
    # Single-zone accounts of the Kubernetes service fail with 500 when a node pool names no zone.
    zone_required: bool = False
    # Live, only the lower-case spelling passes; the reference's example is "Enterprise".
    any_case_product_type: bool = False
    # The reference does not say which way round this check answers.
    installed_is_true: bool = True
    # Both numbers are ours; the quota service tells them.
    platform_quota: int = 100
    cluster_quota: int = 100
    # More requests than this within the window meet the edge firewall; the real limit is not known.
    burst_limit: int | None = None
    burst_window_s: float = 60

    def __post_init__(self) -> None:
        for versions in (self.versions, *self.neighbour_versions.values()):
            if sum(version.status == "CURRENT" for version in versions) != 1:
                raise ValueError("a profile needs exactly one CURRENT version of a service")


LIVE = Profile()
REFERENCE = Profile(versions=(Version("1.1", "CURRENT", "-"), Version("1.0", "DEPRECATED", "2026-03-19")))
STRICT_LIVE = Profile(duplicate_status=400, busy_status=400)
