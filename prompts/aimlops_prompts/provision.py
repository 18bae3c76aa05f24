"""From a wish to a running platform."""

from typing import Annotated

from aimlops_prompts.prompt import About, prompt
from aimlops_prompts.rules import RULES


@prompt
def provision_platform(
    release_name: Annotated[str, About("Name of the new platform")] = "",
    product_type: Annotated[str, About("Enterprise or Mini")] = "",
    cluster_id: Annotated[str, About("Existing cluster, 32 hex digits; empty for a new one")] = "",
) -> str:
    """Create an AI&MLOps platform step by step, with every value checked before anything is created."""
    return f"""\
Help the user create an AI&MLOps platform (managed Kubeflow).
Name: {release_name or "ask the user"}. Type: {product_type or "ask the user"}. \
Cluster: {cluster_id or "ask the user: an existing one or a new one"}.

{RULES}

1. Say what it costs before anything else: a platform is billed every hour until it is deleted, and a new cluster's \
nodes and disks are billed on top. Ask whether to go on.
2. Ask for the type. Enterprise adds distributed training jobs and monitoring; Mini is smaller.
3. Call list_images. Choose the image whose product_type is that type, and tell the user its name and version.
4. Ask for a name (lower-case letters, digits and hyphens are safest) and call check_platform_name. \
If result is true the name is taken: ask for another.
5. Existing cluster: ask for the cluster_id and for its Kubernetes version. Call check_cluster_version, \
validate_cluster_namespace and validate_cluster_resources, and tell the user what each says. Their meanings are \
inferred: advise, do not decide.
   New cluster: ask, one question at a time, for the cluster's name, Kubernetes version, VPC, subnet, security groups \
and NFS volume; then for the node pool's name, server type, operating system and its version, volume type and size, \
key pair and number of nodes. The user finds them in the console. Suggest 2 nodes without auto-scaling unless they \
want otherwise.
6. Ask whether the dashboard is to be Public (reachable from the internet) or Private, and for the first user's email \
and password. The password goes into the call and nowhere else: never repeat it.
7. Call create_platform with dry_run=true. Read the user every check that did not pass. Stop here if one says "stop".
8. Call create_platform without dry_run. The user sees the same plan in a form and decides.
9. Follow with get_platform every 30 seconds at most, until release_state is DEPLOYED (about 10 minutes on an existing \
cluster, 40 with a new one) or names a failure. Then give the user the endpoint address and type, and remind them that \
decommission_platform ends the cost."""
