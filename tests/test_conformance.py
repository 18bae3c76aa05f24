"""`make conformance` judges the official suite's results: what fails must be listed, what is listed must fail."""

import pytest

from conformance.run import judge

CASES: dict[str, tuple[dict[str, set[str]], set[str], list[str]]] = {
    "as listed": ({"ping": {"SUCCESS", "INFO"}, "logging": {"FAILURE"}}, {"logging"}, []),
    "failed in one revision": ({"ping": {"SUCCESS", "FAILURE"}}, set(), ["ping is FAILURE, and not listed"]),
    "no success": ({"ping": {"SKIPPED", "WARNING"}}, set(), ["ping is SKIPPED/WARNING, and not listed"]),
    "passed in one revision": ({"ping": {"FAILURE", "SUCCESS"}}, {"ping"}, ["ping is listed, but passed"]),
    "gone from the suite": ({}, {"ping"}, ["ping is listed, but never ran"]),
}


@pytest.mark.parametrize(("found", "listed", "problems"), CASES.values(), ids=CASES)
def test_only_listed_checks_may_fail_and_listed_ones_must(
    found: dict[str, set[str]], listed: set[str], problems: list[str]
) -> None:
    assert judge(found, listed) == problems
