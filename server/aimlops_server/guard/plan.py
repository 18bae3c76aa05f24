"""What a change will do, frozen: the request, where it goes, the live state it touches, and what is lost.

A plan is what a person confirms, so its digest covers all that it shows.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, cast

from pydantic import TypeAdapter

from aimlops_server.settings import Settings

MAX_PREVIEW_CHARS = 1_500


class Finding(StrEnum):
    """What a check before a change found. Only STOP keeps the change from being asked about."""

    PASS = "passed"
    STOP = "stop"
    ADVICE = "advice"
    UNKNOWN = "could not check"


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result in words."""

    name: str
    finding: Finding
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.finding} – {self.detail}"


@dataclass(frozen=True, slots=True)
class Where:
    """Where the change goes."""

    region: str
    environment: str
    account: str
    endpoint: str
    api_version: str

    @classmethod
    def of(cls, settings: Settings, api_version: str) -> "Where":
        keys = settings.keys
        account = keys.account_id or f"of access key {keys.access_key[:4]}…"
        return cls(settings.region, settings.environment, account, settings.base_url, api_version)

    def __str__(self) -> str:
        return f"{self.region} (environment {self.environment}), account {self.account}, {self.endpoint}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One change, ready to be confirmed.

    `target` is what it changes. `typed` is what a person must type, by form field; empty: a yes is enough. `undo` is
    how to take it back. With `asks_password` the person also types the first user's password, on the page alone.
    """

    headline: str
    where: Where
    method: str
    url: str
    body: Mapping[str, Any] | None
    target: str = ""
    lost: tuple[str, ...] = ()
    live: Mapping[str, str] = field(default_factory=dict[str, str])
    checks: tuple[Check, ...] = ()
    typed: Mapping[str, str] = field(default_factory=dict[str, str])
    undo: Mapping[str, Any] | None = None
    asks_password: bool = False
    asker: str = ""

    def to_json(self) -> str:
        """For the ledger. Holds references to secrets, no secret."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that `to_json` wrote."""
        return TypeAdapter(cls).validate_json(text)

    @property
    def request_digest(self) -> str:
        """Stands for the request, where it goes and who asks, whatever the live state."""
        return _digest([self.method, self.url, self.body, asdict(self.where), self.asker, self.asks_password])

    @property
    def digest(self) -> str:
        """Stands for the arguments, the target and everything shown. Two plans with one digest are the same change."""
        return _digest(asdict(self))

    @property
    def stops(self) -> tuple[Check, ...]:
        """The checks whose failure is certain."""
        return tuple(check for check in self.checks if check.finding is Finding.STOP)

    def shown(self) -> dict[str, Any]:
        """The plan as data, for a tool's result."""
        plan = {
            "headline": self.headline,
            "where": asdict(self.where),
            "request": {"method": self.method, "url": self.url, "body": self.body},
            "lost": list(self.lost),
            "live": dict(self.live),
            "checks": [{"name": c.name, "finding": c.finding.value, "detail": c.detail} for c in self.checks],
            "to_confirm": "the user types: " + ", ".join(self.typed) if self.typed else "the user says yes",
        }
        return plan if self.undo is None else {**plan, "undo": dict(self.undo)}

    def preview(self) -> str:
        """The question, most important first, in under MAX_PREVIEW_CHARS characters."""
        lines = [self.headline, f"Where: {self.where}"]
        lines += [f"Lost: {line}" for line in self.lost]
        if self.live:
            lines.append("Now: " + ", ".join(f"{name} {value}" for name, value in self.live.items()))
        lines += [str(check) for check in self.checks if check.finding is not Finding.PASS]
        lines.append(f"Sends: {self.method} {self.url}")
        if self.body is not None:
            lines.append(_in_words(self.body))
        if passed := [check.name for check in self.checks if check.finding is Finding.PASS]:
            lines.append(f"Passed: {', '.join(passed)}")
        return _fit("\n".join(lines))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def quoted(text: str) -> str:
    """A text in quotes, anything unseen in it escaped: what is shown is what is there."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _in_words(body: Mapping[str, Any]) -> str:
    """A body as `name=value` pairs: shorter than JSON, and easier to read in a small box."""
    pairs: list[str] = []
    for name, value in body.items():
        if isinstance(value, Mapping):
            pairs.append(f"{name}: {_in_words(cast('Mapping[str, Any]', value))}")
        else:
            shown = quoted(value) if isinstance(value, str) else json.dumps(value)
            pairs.append(f"{name}={shown}")
    return "; ".join(pairs)


def _fit(text: str) -> str:
    if len(text) < MAX_PREVIEW_CHARS:
        return text
    note = "… (cut: ask the assistant for dry_run to see all)"
    return text[: MAX_PREVIEW_CHARS - len(note) - 1] + note
