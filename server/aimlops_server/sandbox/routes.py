"""Which operation or look-up a request is, of which service, and in which version: derived from the declarations and
nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aimlops_tools import OPERATIONS, Operation
from aimlops_tools.models.neighbours import LOOKUPS
from aimlops_tools.operation import PRODUCT

from aimlops_server.sandbox.profile import Profile, Version
from aimlops_server.sandbox.replies import Refusal

_DECLARED: tuple[type[Operation[Any]], ...] = (*OPERATIONS.values(), *LOOKUPS.values())
SERVICES = frozenset(operation.spec.service for operation in _DECLARED)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes: the service, the path there, and `prefix`, the part of the path that named the service."""

    service: str
    path: str
    prefix: str = ""


def find_address(host: str, raw_path: str) -> Address:
    """The service that the host's first label names, else the path's first segment, else the product's own."""
    label = re.split("[.:]", host.lower(), maxsplit=1)[0]
    if label in SERVICES:
        return Address(label, raw_path)
    segment, slash, rest = raw_path.removeprefix("/").partition("/")
    if segment in SERVICES:
        return Address(segment, slash + rest or "/", f"/{segment}")
    return Address(PRODUCT, raw_path)


@dataclass(frozen=True, slots=True)
class Route:
    """An operation or a look-up, and the values its path holds."""

    operation: type[Operation[Any]]
    path_values: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.operation.tool_name()


def find_route(method: str, raw_path: str, service: str = PRODUCT) -> Route | None:
    """What is behind a service's raw path; literal paths win over `{release_id}`."""
    matches = [route for route in _routes_at(service, raw_path) if route.operation.spec.method == method]
    return min(matches, key=lambda route: len(route.path_values), default=None)


def is_known_path(raw_path: str, service: str = PRODUCT) -> bool:
    """Whether some method has an operation at this path."""
    return bool(_routes_at(service, raw_path))


def _routes_at(service: str, raw_path: str) -> list[Route]:
    segments = raw_path.split("/")
    routes: list[Route] = []
    for operation in _DECLARED:
        template = operation.spec.path.split("/")
        if operation.spec.service != service or len(template) != len(segments):
            continue
        values = {part[1:-1]: unquote(given) for part, given in zip(template, segments, strict=True) if part[:1] == "{"}
        fits = all(part == given or part[:1] == "{" for part, given in zip(template, segments, strict=True))
        if fits and "" not in values.values():
            routes.append(Route(operation, values))
    return routes


def versions_of(service: str, profile: Profile) -> tuple[Version, ...]:
    """What the service's discovery document lists."""
    if service == PRODUCT:
        return profile.versions
    if service in profile.neighbour_versions:
        return profile.neighbour_versions[service]
    declared = next(operation.spec.versions[-1] for operation in _DECLARED if operation.spec.service == service)
    major, _, minor = declared.partition(".")
    # The declared versions are those that were current; the one before, and the dates, are ours.
    return (
        Version(declared, "CURRENT", "2027-09-18"),
        Version(f"{major}.{int(minor) - 1}", "SUPPORTED", "2027-09-18"),
    )


def served_version(operation: type[Operation[Any]], header: str | None, profile: Profile) -> str:
    """The version this request is served in.

    Raises:
        Refusal: the header asks for a version that this operation does not have.
    """
    service = operation.spec.service
    by_status = sorted(versions_of(service, profile), key=lambda version: version.status != "CURRENT")
    # A look-up is in every version of its service, as far as is known.
    served = [v.id for v in by_status if service != PRODUCT or v.id in operation.spec.versions]
    offered = served or [operation.spec.versions[-1]]
    if header is None:
        return offered[0]
    product, _, asked = header.partition(" ")
    if product != service or asked not in offered:
        raise Refusal(406, "NoSuchVersion", f"API version {asked or header} is not supported on this method")
    return asked
