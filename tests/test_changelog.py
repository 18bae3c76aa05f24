"""No tool changes in silence."""

import re

from tests.generate import ROOT, tools_fingerprint

CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
MARK = re.compile(r"\(tools: `([0-9a-f]{12})`\)$")


def entries() -> list[str]:
    """The entries about tools in the newest section that has some, oldest first."""
    for section in CHANGELOG.split("\n## ")[1:]:
        found = [" ".join(entry.split()) for entry in section.split("\n- ")[1:]]
        if marked := [entry for entry in found if MARK.search(entry)]:
            return marked
    return []


def test_a_changed_tool_has_an_entry_in_the_changelog() -> None:
    """What a client sees of a tool, its schemas and its texts, is a promise: say in an entry how it changed."""
    *_, newest = entries()
    mark = f"(tools: `{tools_fingerprint()}`)"
    assert newest.endswith(mark), f"a tool changed: add an entry to CHANGELOG.md that says how and ends with {mark}"
    assert len(newest.removesuffix(mark).split()) >= 3


def test_each_entry_stands_for_one_state_of_the_tools() -> None:
    marks = [mark for line in CHANGELOG.splitlines() for mark in MARK.findall(line)]
    assert len(set(marks)) == len(marks)
