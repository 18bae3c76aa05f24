"""What can go wrong on purpose: faults, which requests they meet, and how they distort an answer.

Knows answers as bytes and a fault's own settings; neither the state nor how an answer travels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from aimlops_server.sandbox.replies import HTML, JSON, Ids, Reply, firewall_reply, status_reply

HUGE_BYTES = 8 * 1024 * 1024 + 1


class ConnectionDropped(Exception):
    """The connection ends here; what was sent so far is all there is."""


class FaultKind(StrEnum):
    """How a request fails. "Acts" means that the service did what was asked, whatever the caller then sees."""

    STATUS = "status"  # answers an error status without acting
    STATUS_AFTER = "status_after"  # acts, then answers an error status
    DROP_BEFORE = "drop_before"  # drops the connection without acting
    DROP_AFTER = "drop_after"  # acts, then drops the connection without a byte
    HANG = "hang"  # never answers and does not act
    SLOW = "slow"  # acts, then answers after delay_s
    TRUNCATED = "truncated"  # acts, then cuts the body short of its Content-Length
    HTML = "html"  # acts, then answers a page; with a status: the edge firewall's page, without acting
    HUGE = "huge"  # acts, then answers more than 8 MiB of JSON
    NOT_JSON = "not_json"  # acts, then answers a text that claims to be JSON
    WRONG_SHAPE = "wrong_shape"  # acts, then answers JSON of another shape
    REDIRECT = "redirect"  # answers 307 to another host without acting
    FAILS_LATER = "fails_later"  # acts and answers as ever; the change ends in FAILED


_NEEDS_STATUS = frozenset({FaultKind.STATUS, FaultKind.STATUS_AFTER})
_NEVER_ACTS = frozenset({FaultKind.STATUS, FaultKind.DROP_BEFORE, FaultKind.HANG, FaultKind.REDIRECT})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault for the next `times` requests of this method and this operation (a tool name), None being any."""

    kind: FaultKind
    method: str | None = None
    operation: str | None = None
    status: int | None = None
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay_s: float = 20

    def __post_init__(self) -> None:
        if self.kind in _NEEDS_STATUS and self.status is None:
            raise ValueError(f"{self.kind} needs a status, e.g. {self.kind}=503")
        if self.status is not None and self.kind not in _NEEDS_STATUS | {FaultKind.HTML}:
            raise ValueError(f"{self.kind} takes no status")
        if self.status is not None and not 400 <= self.status <= 599:
            raise ValueError("a fault's status is an error: 400 to 599")
        if self.times < 1:
            raise ValueError("times is at least 1")

    @property
    def acts(self) -> bool:
        return self.kind not in _NEVER_ACTS and not (self.kind is FaultKind.HTML and self.status is not None)

    def meets(self, method: str, operation: str | None) -> bool:
        return self.method in {None, method} and self.operation in {None, operation}

    def refusal(self, ids: Ids) -> Reply:
        """The answer of a fault that does not act."""
        if self.kind is FaultKind.REDIRECT:
            # A name that cannot exist (RFC 2606): a follower would be found out, and reach nobody.
            return self._with_headers(Reply(307, headers=(("location", "https://elsewhere.invalid/"),)))
        if self.status is None:
            raise ValueError(f"{self.kind} answers nothing")
        if self.kind is FaultKind.HTML:
            return self._with_headers(firewall_reply(self.status, ids))
        return self._with_headers(status_reply(self.status, ids))

    def distort(self, reply: Reply, ids: Ids) -> Reply:
        """What the caller sees instead of `reply`, the service having acted."""
        match self.kind:
            case FaultKind.STATUS_AFTER if self.status is not None:
                reply = status_reply(self.status, ids)
            case FaultKind.HTML:
                page = b"<html><head><title>Maintenance</title></head><body>Please wait.</body></html>"
                reply = replace(reply, body=page, content_type=HTML)
            case FaultKind.HUGE:
                # Space after a JSON value is JSON still: nothing but the size is wrong.
                reply = replace(reply, body=(reply.body or b"{}").ljust(HUGE_BYTES), content_type=JSON)
            case FaultKind.NOT_JSON:
                reply = replace(reply, body=b"{'result': accepted", content_type=JSON)
            case FaultKind.WRONG_SHAPE:
                reply = replace(reply, body=b"[]", content_type=JSON)
            case FaultKind.TRUNCATED:
                # An empty answer has nothing to cut.
                reply = replace(reply, body=reply.body or b"{}")
            case _:
                pass
        return self._with_headers(reply)

    def _with_headers(self, reply: Reply) -> Reply:
        return replace(reply, headers=(*reply.headers, *self.headers.items()))


class Faults:
    """The faults still to come, in order: a request meets the first that fits it, and uses it up."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._waiting: list[Fault] = list(faults)

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def waiting(self) -> tuple[Fault, ...]:
        return tuple(self._waiting)

    def take(self, method: str, operation: str | None) -> Fault | None:
        """The fault this request meets, or None. `operation` is None when no operation is at its path."""
        for index, fault in enumerate(self._waiting):
            if fault.meets(method, operation):
                left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                self._waiting[index : index + 1] = left
                return fault
        return None


def parse(text: str) -> Fault:
    """A fault from a command line: `[METHOD:]kind[=value][:name=value...]`.

    The kind's value is a status, or for `slow` the seconds. The names are times, operation and retry_after:
    `POST:drop_after`, `GET:status=503:times=2`, `status=429:retry_after=2`, `slow=20`, `html=417`.

    Raises:
        ValueError: the text is not of this form.
    """
    words = text.split(":")
    method = words.pop(0) if words[0].isupper() else None
    kind_text, _, value = (words.pop(0) if words else "").partition("=")
    options = {name: option for name, _, option in (word.partition("=") for word in words)}
    unknown = sorted(options.keys() - {"times", "operation", "retry_after"})
    if kind_text not in set(FaultKind) or unknown:
        kinds = ", ".join(FaultKind)
        raise ValueError(f"{text!r} is not a fault, e.g. POST:drop_after or GET:status=503:times=2; kinds: {kinds}")
    kind = FaultKind(kind_text)
    fault = Fault(
        kind,
        method,
        options.get("operation"),
        status=int(value) if value and kind is not FaultKind.SLOW else None,
        times=int(options.get("times", "1")),
        headers={"Retry-After": options["retry_after"]} if "retry_after" in options else {},
    )
    return replace(fault, delay_s=float(value)) if value and kind is FaultKind.SLOW else fault
