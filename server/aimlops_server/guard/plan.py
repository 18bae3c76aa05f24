"""What a change will do, frozen: the request, where it goes, the live state it touches, and what is lost.

A plan is what a person confirms, so its digest covers all that it shows.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any, cast

from pydantic import TypeAdapter

from aimlops_server.settings import Settings
from aimlops_server.wording import Language, Wording

MAX_PREVIEW_CHARS = 1_500


NAMES_SHOWN = 8


class Finding(StrEnum):
    """What a check before a change found."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "could not check"


@dataclass(frozen=True, slots=True)
class Check:
    """One check, its result in words, and what mends it: a tool call, or what to do.

    `inferred`: no document says that the service decides so. Only a failure that is not inferred stops a change.
    """

    name: str
    finding: Finding
    detail: str
    inferred: bool = False
    fix: str = ""

    @property
    def stops(self) -> bool:
        return self.finding is Finding.FAIL and not self.inferred

    def title(self, say: Wording) -> str:
        """The name in a person's language; several checks with one result have their names in a row."""
        return ", ".join(map(say, self.name.split(", ")))

    def line(self, say: Wording) -> str:
        """The check in one line."""
        finding = say("fail (inferred)") if self.finding is Finding.FAIL and self.inferred else say(self.finding)
        return f"{self.title(say)}: {finding} – {self.detail}" + (f" → {self.fix}" if self.fix else "")

    def shown(self) -> dict[str, Any]:
        """The check as data, empty parts left out."""
        return {k: v for k, v in asdict(self).items() if v}


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
    """One change, ready to be confirmed, its sentences in the language of the person who decides.

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
    language: Language = "en-US"

    def to_json(self) -> str:
        """For the ledger. Holds references to secrets, no secret."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that `to_json` wrote."""
        return _reader().validate_json(text)

    @property
    def request_digest(self) -> str:
        """Stands for the request, where it goes and who asks, whatever the live state."""
        return _digest([self.method, self.url, self.body, asdict(self.where), self.asker, self.asks_password])

    @property
    def digest(self) -> str:
        """Stands for the arguments, the target and what was shown. Two plans with one digest are the same change.

        Of the checks only the failures count: a check that could not be made a moment ago, or cannot be made now, does
        not change what a person has agreed to; one that fails now does.
        """
        failures = tuple(check for check in self.checks if check.finding is Finding.FAIL)
        return _digest(asdict(replace(self, checks=failures)))

    @property
    def stops(self) -> tuple[Check, ...]:
        """The checks whose failure is certain."""
        return tuple(check for check in self.checks if check.stops)

    def shown(self) -> dict[str, Any]:
        """The plan as data, for a tool's result."""
        plan = {
            "headline": self.headline,
            "where": asdict(self.where),
            "request": {"method": self.method, "url": self.url, "body": self.body},
            "lost": list(self.lost),
            "live": dict(self.live),
            "checks": [check.shown() for check in self.checks],
            "to_confirm": "the user types: " + ", ".join(self.typed) if self.typed else "the user says yes",
        }
        return plan if self.undo is None else {**plan, "undo": dict(self.undo)}

    def preview(self) -> str:
        """The question, most important first, in under MAX_PREVIEW_CHARS characters."""
        say = Wording(self.language)
        lines = [self.headline, f"{say('Where')}: {self.where}"]
        lines += [f"{say('Lost')}: {line}" for line in self.lost]
        if self.live:
            lines.append(f"{say('Now')}: " + ", ".join(f"{say(name)} {value}" for name, value in self.live.items()))
        lines += [check.line(say) for check in self.checks if check.finding is not Finding.PASS]
        lines.append(f"{say('Sends')}: {self.method} {self.url}")
        if self.body is not None:
            lines.append(_in_words(self.body))
        if passed := [check.title(say) for check in self.checks if check.finding is Finding.PASS]:
            lines.append(f"{say('Passed')}: {', '.join(passed)}")
        return _fit("\n".join(lines), say("… (cut: ask the assistant for dry_run to see all)"))


@cache
def _reader() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def quoted(text: str) -> str:
    """A text in quotes, anything unseen in it escaped: what is shown is what is there."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def some(names: list[str], say: Wording) -> str:
    """The first of many names, and how many more there are."""
    shown = ", ".join(names[:NAMES_SHOWN])
    rest = len(names) - NAMES_SHOWN
    return say("{names} and {rest} more", names=shown, rest=rest) if rest > 0 else shown


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


def _fit(text: str, note: str) -> str:
    if len(text) < MAX_PREVIEW_CHARS:
        return text
    return text[: MAX_PREVIEW_CHARS - len(note) - 1] + note
