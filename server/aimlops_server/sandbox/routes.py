"""Which operation a request is, and in which version: derived from the declared operations and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aimlops_tools import OPERATIONS, Operation

from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.replies import Refusal

PRODUCT = "aimlops-platform"


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, and the values its path holds."""

    operation: type[Operation[Any]]
    path_values: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.operation.tool_name()


def find_route(method: str, raw_path: str) -> Route | None:
    """The operation behind a raw path; literal paths win over `{release_id}`."""
    matches = [route for route in _routes_at(raw_path) if route.operation.spec.method == method]
    return min(matches, key=lambda route: len(route.path_values), default=None)


def is_known_path(raw_path: str) -> bool:
    """Whether some method has an operation at this path."""
    return bool(_routes_at(raw_path))


def _routes_at(raw_path: str) -> list[Route]:
    segments = raw_path.split("/")
    routes: list[Route] = []
    for operation in OPERATIONS.values():
        template = operation.spec.path.split("/")
        if len(template) != len(segments):
            continue
        values = {part[1:-1]: unquote(given) for part, given in zip(template, segments, strict=True) if part[:1] == "{"}
        fits = all(part == given or part[:1] == "{" for part, given in zip(template, segments, strict=True))
        if fits and "" not in values.values():
            routes.append(Route(operation, values))
    return routes


def served_version(operation: type[Operation[Any]], header: str | None, profile: Profile) -> str:
    """The version this request is served in.

    Raises:
        Refusal: the header asks for a version that this operation does not have.
    """
    by_status = sorted(profile.versions, key=lambda version: version.status != "CURRENT")
    served = [version.id for version in by_status if version.id in operation.spec.versions]
    offered = served or [operation.spec.versions[-1]]
    if header is None:
        return offered[0]
    product, _, asked = header.partition(" ")
    if product != PRODUCT or asked not in offered:
        raise Refusal(406, "NoSuchVersion", f"API version {asked or header} is not supported on this method")
    return asked
