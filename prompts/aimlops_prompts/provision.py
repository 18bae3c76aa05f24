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
    """Create an AI&MLOps platform step by step, with every value found, checked and explained before it is created."""
    return f"""\
Help the user create an AI&MLOps platform (managed Kubeflow).
Name: {release_name or "ask the user"}. Type: {product_type or "ask the user"}. \
Cluster: {cluster_id or "ask the user: an existing one or a new one"}.

{RULES}
- Ask one question at a time. Propose an answer, and say in half a sentence why.
- Offer real choices: call find_options with the kind, and give it what is chosen already (vpc_id, kubernetes_version, \
server_type_id). Show labels, keep values. Each option's sets says which field its value goes into. If an option is \
unsuitable, say why before you take it. If a list cannot be read, ask the user for the value.

1. Say what it costs before anything else: a platform is billed every hour until it is deleted, and a new cluster's \
nodes and disks are billed on top. Ask whether to go on.
2. Ask for the type. Enterprise adds distributed training jobs and monitoring; Mini is smaller. Propose Mini for a \
first look.
3. Call list_images. Propose the newest image whose product_type is that type, and tell the user its name and version.
4. Propose a name of 3 to 30 lower-case letters, digits and hyphens. Call check_platform_name: if result is true it is \
taken, so ask for another.
5. Call find_options with kind "clusters". If one is suitable, propose it: it costs nothing more and takes about 10 \
minutes. Otherwise propose a new cluster: about 50 minutes, and billed for its nodes.
6. Existing cluster: its value is the cluster_id. Go to step 9.
7. New cluster, kubernetes_engine_create_request: a name such as the platform's; then find_options for \
kubernetes_versions (propose the newest that is suitable), vpcs, subnets of that VPC, security_groups, and \
file_volumes (NFS).
8. Its machines, node_pool_create_request: a name such as "pool-1"; then find_options for server_types (propose the \
smallest that is suitable and has no GPU, unless they need one), keypairs, volume_types, and node_images for that \
version and server type. Propose 2 nodes without auto-scaling, and the disk size that the image needs.
9. Ask whether the dashboard is to be Private (propose it) or Public, which the whole internet reaches; and for the \
first user's email. Do not ask for the password: the user types it when they approve, or gives a reference such as \
env:SCP_MCP_SECRET_FIRST_USER that they have set up.
10. Call create_platform with dry_run=true. Read the user every check that did not pass: its reason, and its fix. Do \
what the fix says with the user, and run it again. A failure that is not inferred stops the create; one that is \
inferred is the user's decision.
11. Call create_platform without dry_run. The user sees the same plan in a form or on a page, and decides. If the \
answer says that it awaits their approval, tell them where to find it, and call again with the same arguments.
12. Call wait_for_platform with the release_id that came back, again while it says "still". Tell the user now and then \
how it stands. If it failed, call diagnose_platform and tell the user what it says.
13. Give the user what access says: the dashboard's address, who reaches it, the first log-in, the next steps. Remind \
them that decommission_platform ends the cost."""
