"""What an answer looks like: the service's own error objects, the gateway's, the framework's, the firewall's.

Knows shapes only, not when one is due. Texts are English whatever Accept-Language says, as live.
"""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from pydantic import JsonValue

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


class Ids:
    """Every id the sandbox makes up, from one source of randomness, so that a run repeats."""

    def __init__(self, randomness: random.Random) -> None:
        self._randomness = randomness

    def hex32(self) -> str:
        return f"{self._randomness.getrandbits(128):032x}"

    def uuid(self) -> str:
        digits = self.hex32()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def request_id(self) -> str:
        return f"req-{self.uuid()}"

    def support_id(self) -> str:
        return str(self._randomness.randrange(10**18, 10**19))


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """The service says no: what its error object will hold."""

    def __init__(self, status: int, code: str, detail: str | list[str], response: JsonValue = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.response = response


def iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_reply(status: int, value: JsonValue) -> Reply:
    return Reply(status, json.dumps(value, ensure_ascii=False).encode(), JSON)


def refusal_reply(refusal: Refusal, ids: Ids) -> Reply:
    """The service's error object. `detail` is a list for a failed validation and a string otherwise."""
    error: JsonValue = {
        "code": refusal.code,
        "title": refusal.code,
        "detail": [*refusal.detail] if isinstance(refusal.detail, list) else refusal.detail,
        "status": refusal.status,
        "request_id": ids.request_id(),
        "global_request_id": ids.request_id(),
        "links": [],
        "related_resources": [],
        "response": refusal.response,
    }
    return json_reply(refusal.status, {"errors": [error]})


def spring_reply(status: int, path: str, now_s: float, ids: Ids) -> Reply:
    """The framework's own error: unknown paths, and every request without credentials."""
    body: JsonValue = {
        "timestamp": iso(now_s),
        "path": path,
        "status": status,
        "error": HTTPStatus(status).phrase,
        "requestId": ids.hex32()[:8],
    }
    return json_reply(status, body)


def not_permitted(action: str, access_level: str) -> Refusal:
    """The refusal of what the account's policy denies; `action` is like `ske:ListClusters`."""
    message = f"You do not have permission to perform {action}."
    response: JsonValue = {
        "access_level": access_level,
        "action_name": action,
        "caused_auths": [],
        "message": message,
    }
    return Refusal(403, "Forbidden", message, response)


def state_refusal(status: int, happened: str) -> Refusal:
    """The refusal of what is in the wrong state; which of 400 and 409 it is differs."""
    return Refusal(status, "Conflict" if status == 409 else "BadRequest", happened)


def not_enabled_reply() -> Reply:
    """The gateway's 401 for a product that the account or the region does not have."""
    body: JsonValue = {
        "status": "UNAUTHORIZED",
        "name": "Request was rejected by gateway",
        "message": "Service Account catalog has not target's endpoint. target : scp-aimlops-platform_hmac",
    }
    return json_reply(401, body)


def firewall_reply(status: int, ids: Ids) -> Reply:
    """The edge firewall's page."""
    page = (
        "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. "
        f"Please consult with your administrator.<br><br>Your Support ID is: {ids.support_id()}</body></html>"
    )
    return Reply(status, page.encode(), HTML)


def status_reply(status: int, ids: Ids) -> Reply:
    """A failure with this status in the shape it was seen in, where it was."""
    match status:
        case 417:
            return firewall_reply(status, ids)
        case 429:
            # Its body was never recorded: this is the text of the proxy whose 503 was.
            return Reply(status, b"local_rate_limited", TEXT)
        case 502 | 503 | 504:
            text = b"upstream connect error or disconnect/reset before headers. reset reason: connection failure"
            return Reply(status, text, TEXT)
        case 401:
            refusal = Refusal(401, "HmacValidFail", "HmacValidFail: the signature does not match.")
        case 403:
            refusal = Refusal(403, "Forbidden", "You do not have permission for this action.")
        case 406:
            refusal = Refusal(406, "NoSuchVersion", "API version is not supported on this method")
        case 500:
            refusal = Refusal(500, "ContactAdminForAssistance", "An error occurred. Contact the administrator.")
        case _:
            # Inferred: no such answer was recorded, so the code is the status's own name.
            phrase = HTTPStatus(status).phrase
            refusal = Refusal(status, "".join(phrase.split()), phrase)
    return refusal_reply(refusal, ids)
