"""Opening a platform's dashboard, or closing it."""

from typing import Annotated

from aimlops_prompts.prompt import About, prompt
from aimlops_prompts.rules import RULES


@prompt
def change_endpoint(
    release_id: Annotated[str, About("Platform id")],
    endpoint_type: Annotated[str, About("Public or Private")] = "",
) -> str:
    """Make a platform's dashboard public or private, and say who gains or loses access."""
    return f"""\
Help the user change how the platform {release_id} is reached. Wanted: {endpoint_type or "ask the user"}.

{RULES}

1. Call get_platform. Tell the user its name, state, endpoint type and address. If release_state is not DEPLOYED, \
stop: a platform that is changing refuses an update.
2. If the endpoint already is what they want, say so and stop.
3. Say what will happen. Public: everyone on the internet can reach the login page. Private: people who come from the \
internet lose access at once. Ask who uses the platform now.
4. If a DNS record points to it, ask whether it moves too: find_options with kind "hosted_zones" and the \
endpoint_type lists the zones that fit, and with kind "dns_records" their records.
5. Call update_platform with dry_run=true, and read the plan to the user.
6. Call update_platform. The user confirms in a form or on a page. If the answer says that it awaits their approval, \
tell them where to find it, and call again with the same arguments.
7. Call wait_for_platform until it is deployed again. Tell the user the new address, and that the opposite update \
undoes it."""
