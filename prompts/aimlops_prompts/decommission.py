"""Taking a platform down, without taking down what others use."""

from typing import Annotated

from aimlops_prompts.prompt import About, prompt
from aimlops_prompts.rules import RULES


@prompt
def decommission_platform(release_id: Annotated[str, About("Platform id")]) -> str:
    """Delete a platform, after its owner has saved what is to be kept."""
    return f"""\
Help the user delete the platform {release_id}. This cannot be undone.

{RULES}

1. Call get_platform. Tell the user its name, type, state, cluster, and who created it and when. Ask whether that is \
the one, and whether its users know. created_by is an id, not a name.
2. Say what is lost: notebooks, pipelines, models and their volumes. Ask what has to be saved first, and wait until \
the user says it is saved.
3. Ask whether the Kubernetes cluster is to stay. The default is yes. with_k8s=true deletes the whole cluster and \
every other platform and workload on it: call list_platforms and name those on the same cluster_id, and list_nodes \
for its machines. If there are others, advise against it.
4. Call delete_platform with dry_run=true, and read the plan to the user.
5. Call delete_platform. The user types the platform's exact name in a form or on a page; with with_k8s the cluster's \
too. If the answer says that it awaits their approval, tell them where to find it, and call again with the same \
arguments.
6. Call wait_for_platform with until "deleted", again while it says "still".
7. Say what stays and stays billed: VPC, subnet, security groups, file storage, load balancer, DNS records, and the \
cluster unless it was deleted too."""
