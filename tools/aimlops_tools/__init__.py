"""The AI&MLOps Platform API as declarations.

Knows what the API is: operations, fields, answers, limits. Knows nothing of
MCP, of an HTTP library or of this machine's settings.
"""

from aimlops_tools.lookup import LOOKUPS, Lookup
from aimlops_tools.models import clusters, images, neighbours, platforms
from aimlops_tools.operation import OPERATIONS, Effect, Operation, WireRequest

__all__ = [
    "LOOKUPS",
    "OPERATIONS",
    "Effect",
    "Lookup",
    "Operation",
    "WireRequest",
    "clusters",
    "images",
    "neighbours",
    "platforms",
]
