"""Reads what the service says when it says no, in all the shapes it was seen to use (facts 5), and what to do about it.

The service's words are quoted as data: made plain, cut to a length, never followed.
"""

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from aimlops_tools.text import html_to_plain, plain


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer, its parts plain text and "" where the service gave none."""

    status: int
    code: str = ""
    title: str = ""
    detail: str = ""
    request_id: str = ""
    action_name: str = ""
    shape: str = "text"

    def __str__(self) -> str:
        said = [f"The service answered HTTP {self.status}"]
        if self.code or self.title:
            said.append(" ".join(dict.fromkeys(filter(None, (self.code, self.title)))))
        if self.detail:
            said.append(f"its words: “{self.detail}”")
        if self.action_name:
            said.append(f"permission needed: {self.action_name}")
        if self.request_id:
            said.append(f"request id {self.request_id}")
        return "; ".join(said) + "."


def read_refusal(status: int, body: bytes) -> Refusal:
    """Read an error answer's body, whatever its shape."""
    text = body[:100_000].decode("utf-8", "replace")
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        looks_html = text.lstrip()[:1] == "<"
        return Refusal(status, detail=html_to_plain(text, 300) if looks_html else plain(text, 300))
    if not isinstance(parsed, dict):
        return Refusal(status, detail=plain(text, 300))
    answer = cast("dict[str, object]", parsed)
    errors = answer.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return _from_errors(status, cast("dict[str, object]", errors[0]))
    if "requestId" in answer:
        return Refusal(
            status, title=_text(answer.get("error")), request_id=_text(answer.get("requestId")), shape="spring"
        )
    if "message" in answer and "name" in answer:
        return Refusal(status, _text(answer.get("status")), _text(answer.get("name")), _text(answer.get("message")))
    return Refusal(status, detail=plain(text, 300))


def _from_errors(status: int, error: dict[str, object]) -> Refusal:
    response = error.get("response")
    action = cast("dict[str, object]", response).get("action_name") if isinstance(response, dict) else None
    return Refusal(
        status,
        code=_text(error.get("code")),
        title=_text(error.get("title")),
        detail=_detail(error.get("detail")),
        request_id=_text(error.get("global_request_id")) or _text(error.get("request_id")),
        action_name=_text(action),
        shape="errors",
    )


def _text(value: object) -> str:
    return "" if value is None else plain(str(value), 200)


def _detail(value: object) -> str:
    """A text, a list of texts, or a text that holds a Python list (facts 5, `detail` shapes)."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return plain(str(value), 300)
    if isinstance(value, list):
        return plain("; ".join(str(item) for item in cast("list[object]", value)), 300)
    return "" if value is None else plain(str(value), 300)


@dataclass(frozen=True, slots=True)
class _Advice:
    """The next step for one kind of refusal: the first row that fits is given."""

    status: int
    next_step: str
    words: Sequence[str] = ()
    shape: str = ""

    def fits(self, refusal: Refusal) -> bool:
        said = f"{refusal.code} {refusal.title} {refusal.detail}".lower()
        return (
            self.status in (0, refusal.status)
            and (not self.shape or self.shape == refusal.shape)
            and (not self.words or any(word in said for word in self.words))
        )


_ADVICE = (
    _Advice(
        401,
        "the product is not enabled for this account or region: check SCP_REGION and SCP_ENVIRONMENT, or have an "
        "administrator enable AI&MLOps Platform",
        ("has not target", "rejected by gateway"),
    ),
    _Advice(
        401,
        "check SCP_ACCESS_KEY and SCP_SECRET_KEY, then this machine's clock: a clock that is off spoils the signature",
    ),
    _Advice(
        404,
        "the key is not accepted here or the product is not offered to this account in this region: check the keys, "
        "SCP_REGION and SCP_ENVIRONMENT",
        shape="spring",
    ),
    _Advice(403, "a quota is used up: free something or ask for a higher quota", ("quota", "exceed")),
    _Advice(403, "ask an administrator to allow this action for the key's user in IAM"),
    _Advice(
        404,
        "check the id with list_platforms; a platform that was deleted is gone, and nodes and storage classes are "
        "known only once a platform is deployed on the cluster",
    ),
    _Advice(406, "set SCP_API_VERSION to a version that the service offers"),
    _Advice(409, "wait until the platform is no longer changing (get_platform), then try again"),
    _Advice(
        417, "the firewall blocks this machine for too many calls at once: wait some minutes, then call less often"
    ),
    _Advice(429, "too many calls: wait a minute, then try again"),
    _Advice(400, "compare the arguments with the tool's description; the service often does not name the field"),
)


def next_step(refusal: Refusal) -> str:
    """What the reader should do about a refusal."""
    for advice in _ADVICE:
        if advice.fits(refusal):
            return advice.next_step
    if 300 <= refusal.status < 400:
        return "a signed request is never redirected: check SCP_ENDPOINT, SCP_REGION and the proxy"
    if refusal.status >= 500:
        return "try again later; if it stays, give the request id to the vendor's support"
    return "read the service's words above and correct the call"
