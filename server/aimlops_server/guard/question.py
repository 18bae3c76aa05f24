"""The question a person is asked about a plan, and what counts as a yes. The same for every protocol era."""

from collections.abc import Mapping
from typing import Literal

from mcp_types import ElicitRequestFormParams, ElicitResult

from aimlops_server.errors import NotSent
from aimlops_server.guard.plan import Plan, quoted
from aimlops_server.wording import Wording

ASK_AGAIN = "call again only if the user wants another try"
LABELS = {"release_name": "the platform's exact name", "cluster_name": "the cluster's exact name"}


def question(plan: Plan) -> ElicitRequestFormParams:
    """The form: the exact names where something is destroyed, one yes otherwise. Nothing is filled in beforehand."""
    say = Wording(plan.language)
    properties: dict[str, Mapping[str, str]] = {
        field: {"type": "string", "title": say(f"Type {LABELS[field]}")} for field in plan.typed
    } or {"confirm": {"type": "boolean", "title": say("Yes, send it")}}
    return ElicitRequestFormParams(
        message=plan.preview(),
        requested_schema={"type": "object", "properties": properties, "required": list(properties)},
    )


def require_yes(plan: Plan, answer: ElicitResult) -> None:
    """Return when the answer is a person's yes to this plan.

    Raises:
        NotSent: it is anything else.
    """
    require_accept(answer.action, "question")
    content = answer.content or {}
    if not plan.typed and content.get("confirm") is not True:
        raise NotSent("The user did not say yes.", ASK_AGAIN)
    for field, expected in plan.typed.items():
        if content.get(field) != expected:
            raise NotSent(f"What the user typed is not {LABELS[field]}, {quoted(expected)}.", ASK_AGAIN)


def require_accept(action: Literal["accept", "decline", "cancel"], asked: str) -> None:
    """Return when a person answered what was `asked`, a question or a form.

    Raises:
        NotSent: they declined, or closed it.
    """
    if action == "decline":
        raise NotSent("The user declined.", "respect it: do not call again unless the user asks for it")
    if action == "cancel":
        raise NotSent(f"The user closed the {asked} without an answer.", ASK_AGAIN)
