"""Changes one value in the text of a JSON document and leaves every other character as it was.

A client's file is its user's: their order, indentation and numbers survive. Every text must be valid JSON.
"""

import json
import re
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Item:
    """A member or an element: its text is start:end, its value's text value:end."""

    key: str | int
    start: int
    value: int
    end: int


def put(text: str, path: Path, value: JsonValue) -> str:
    """Set the value at a path. A list grows by the index that is its length; missing parents are made."""
    at = _after_space(text, 0)
    end = len(text)
    for depth, step in enumerate(path):
        items, close = _items(text, at)
        found = _find(items, step)
        if found is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value} if isinstance(missing, str) else [value]
            return _insert(text, at, items, close, depth, step, value)
        at, end = found.value, found.end
    return text[:at] + _dump(text, value, len(path)) + text[end:]


def remove(text: str, path: Path) -> str:
    """Remove the value at a path; KeyError if there is none."""
    at = _after_space(text, 0)
    for step in path[:-1]:
        found = _find(_items(text, at)[0], step)
        if found is None:
            raise KeyError(step)
        at = found.value
    items, close = _items(text, at)
    found = _find(items, path[-1])
    if found is None:
        raise KeyError(path[-1])
    index = items.index(found)
    if len(items) == 1:
        return text[: at + 1] + text[close:]
    if index == len(items) - 1:
        return text[: items[index - 1].end] + text[found.end :]
    return text[: found.start] + text[items[index + 1].start :]


def _items(text: str, at: int) -> tuple[list[_Item], int]:
    """What is in the container that opens at `at`, and where it closes."""
    named = text[at] == "{"
    items: list[_Item] = []
    at = _after_space(text, at + 1)
    while text[at] not in "}]":
        start = at
        key: str | int = len(items)
        if named:
            key, at = cast("tuple[str, int]", _DECODER.raw_decode(text, at))
            at = _after_space(text, _after_space(text, at) + 1)
        end = _DECODER.raw_decode(text, at)[1]
        items.append(_Item(key, start, at, end))
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return items, at


def _find(items: list[_Item], step: str | int) -> _Item | None:
    return next((item for item in items if item.key == step), None)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _insert(text: str, at: int, items: list[_Item], close: int, depth: int, step: str | int, value: JsonValue) -> str:
    name = f"{json.dumps(step)}: " if isinstance(step, str) else ""
    new = name + _dump(text, value, depth + 1)
    if items:
        last = items[-1].end
        return f"{text[:last]},{_break(text, depth + 1) or ' '}{new}{text[last:]}"
    return f"{text[: at + 1]}{_break(text, depth + 1)}{new}{_break(text, depth)}{text[close:]}"


def _dump(text: str, value: JsonValue, depth: int) -> str:
    """In the document's own style: its indentation and line ends, or all in one line."""
    if not _break(text, 0):
        return json.dumps(value, ensure_ascii=False)
    dumped = json.dumps(value, ensure_ascii=False, indent=_indent(text))
    return dumped.replace("\n", _break(text, depth))


def _break(text: str, depth: int) -> str:
    """A line end and an indentation; nothing in a document whose content is in one line."""
    if "\n" not in text.strip() and text.strip(" \t\r\n{}"):
        return ""
    return ("\r\n" if "\r\n" in text else "\n") + _indent(text) * depth


def _indent(text: str) -> str:
    found = re.search(r"\n([ \t]+)\S", text)
    return found[1] if found else "  "
