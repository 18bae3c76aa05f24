"""The AI&MLOps Platform API as declarations.

Knows what the API is: operations, fields, answers, limits. Knows nothing of
MCP, of an HTTP library or of this machine's settings.
"""

from aimlops_tools.models import clusters, images, platforms
from aimlops_tools.operation import OPERATIONS, Effect, Operation, WireRequest

__all__ = [
    "OPERATIONS",
    "Effect",
    "Operation",
    "WireRequest",
    "clusters",
    "images",
    "platforms",
]
