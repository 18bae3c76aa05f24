"""Text that came from the API, made safe to show.

The upstream's words are data: a platform's name may carry an instruction, an
escape sequence or half a megabyte. Everything an answer model keeps as text
passes through here.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from html.parser import HTMLParser
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, JsonValue

MAX_CHARS = 500
MAX_ITEMS = 50
MAX_DEPTH = 5

# Control, format (bidi overrides, zero width, tags), surrogate, private use,
# unassigned, and the two separators that some terminals treat as a new line.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str, max_chars: int = MAX_CHARS) -> str:
    """One line of visible text: unseen characters go, space runs shrink, the rest is cut to `max_chars`."""
    # Ten times the limit is enough to fill it, and bounds the work on a huge value.
    text = text[: max_chars * 10]
    # Nearly all texts are: to look at each of their characters took a fifth of a call that lists a page.
    if not text.isprintable():
        spaced = (" " if c in "\t\n\r\u2028\u2029" else c for c in text)
        text = "".join(c for c in spaced if unicodedata.category(c) not in _UNSEEN)
    line = " ".join(text.split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


class _Words(HTMLParser):
    """Collects what a reader of the page would see, and counts its characters."""

    _HIDDEN = frozenset({"script", "style", "head", "template"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.chars = 0
        self._hidden_depth = 0

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        self._hidden_depth += tag in self._HIDDEN
        self._add(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden_depth = max(0, self._hidden_depth - (tag in self._HIDDEN))
        self._add(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden_depth:
            self._add(data)

    def _add(self, text: str) -> None:
        self.words.append(text)
        self.chars += len(text)


@lru_cache(maxsize=8)  # the few images of the catalogue, read for each plan
def html_to_plain(html: str, max_chars: int = MAX_CHARS) -> str:
    """The words of an HTML text as one plain line of at most `max_chars` characters."""
    parser = _Words()
    # The catalogue's descriptions are very large (facts: images): read until `plain` has all that it looks at.
    for start in range(0, min(len(html), 200_000), 4_000):
        parser.feed(html[start : start + 4_000])
        if parser.chars >= max_chars * 10:
            break
    else:
        # Not close(): it takes an unfinished tag for text, which a browser does not, in minutes for 200 kB of "<p ".
        parser.feed("\n")
    return plain("".join(parser.words), max_chars)


def plain_data(value: object, depth: int = 0) -> JsonValue:
    """A JSON value of unknown shape, its texts made plain and its size bounded."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list) and depth < MAX_DEPTH:
        items = cast("list[object]", value)
        return [plain_data(item, depth + 1) for item in items[:MAX_ITEMS]]
    if isinstance(value, dict) and depth < MAX_DEPTH:
        pairs = list(cast("dict[object, object]", value).items())
        return {plain(str(k), 100): plain_data(v, depth + 1) for k, v in pairs[:MAX_ITEMS]}
    return plain(str(cast("object", value)), 200)


def _to_text(value: object) -> object:
    if isinstance(value, str):
        return plain(value)
    # The API writes numbers and booleans as text and the other way round (reference 2.16, 2.17).
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _to_html_text(value: object) -> object:
    return html_to_plain(value) if isinstance(value, str) else value


def _to_object(value: object) -> object:
    # Objects are exemplified as "" in the reference (2.3, 2.6): no object.
    return None if value == "" else plain_data(value)


Text = Annotated[str, BeforeValidator(_to_text)]
HtmlText = Annotated[str, BeforeValidator(_to_html_text)]
Object = Annotated[dict[str, JsonValue], BeforeValidator(plain_data)]
ObjectOrNone = Annotated[
    dict[str, JsonValue] | None,
    BeforeValidator(_to_object, json_schema_input_type=dict[str, JsonValue] | Literal[""] | None),
]
