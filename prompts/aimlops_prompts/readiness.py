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

1. Call list_platforms and look for platforms with this cluster_id. If there is one, tell the user: a second one on \
the same cluster will probably be refused.
2. Ask for the cluster's Kubernetes version and call check_cluster_version.
3. Call validate_cluster_namespace and validate_cluster_resources.
4. Call check_platform_name for the name: true means taken.
5. Call list_images and see that an image of this type exists.
6. Answer with a table: check, result, meaning, what to do. The meanings of the three cluster checks are inferred, so \
say "probably". End with one sentence: ready, probably ready, or not ready and why."""
