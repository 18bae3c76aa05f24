"""Whether a cluster can take a platform. Changes nothing."""

from typing import Annotated

from aimlops_prompts.prompt import About, prompt
from aimlops_prompts.rules import RULES


@prompt
def check_readiness(
    cluster_id: Annotated[str, About("Cluster id, 32 hex digits")],
    product_type: Annotated[str, About("Enterprise or Mini")] = "",
    release_name: Annotated[str, About("Name wanted for the platform")] = "",
) -> str:
    """Check whether a cluster is ready for a platform. Changes nothing."""
    return f"""\
Check whether the cluster {cluster_id} can take an AI&MLOps platform. \
Type: {product_type or "ask the user"}. Name: {release_name or "ask the user"}. Change nothing.

{RULES}

1. Call find_options with kind "clusters" and this id in contains: its state, its version, and whether it carries a \
platform already. Call find_options with kind "node_pools" for its machines.
2. Call list_images, and take the newest image of that type.
3. Call create_platform with dry_run=true, with that name, type, image and cluster, and the user's email address. \
It sends nothing: it runs every check at once. A read-only server lacks it: there, call check_platform_name, \
check_cluster_version, validate_cluster_namespace and validate_cluster_resources.
4. Answer with a table: check, finding, reason, fix. Say "probably" where a finding is inferred, and name what could \
not be checked. End with one sentence: ready, probably ready, or not ready and why."""
