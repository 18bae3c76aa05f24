"""`make clients` judges what other people's clients saw: each step of the story fails for what breaks it, alone."""

from collections.abc import Callable
from typing import Any

import pytest
from mcp_types import CallToolResult, ElicitRequestFormParams, TextContent

from clients.run import DECLINED, HEADLINE, NO_FORM, SENT, STEPS, TOOLS, WAITS, Report, Session, judge

FORM = {"type": "object", "properties": {"release_name": {"type": "string"}}, "required": ["release_name"]}


def answer(data: dict[str, Any]) -> CallToolResult:
    return CallToolResult(content=[], structured_content=data)


def error(*words: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text="\n".join(words))], is_error=True)


def platform(state: str) -> CallToolResult:
    return answer({"release_state": state})


def with_a_person() -> Session:
    plan = {"headline": HEADLINE, "to_confirm": "the user types: release_name"}
    results = [
        answer({"sent": False, "plan": plan}),
        error(*DECLINED),
        platform("DEPLOYED"),
        answer({"sent": True, "outcome": "committed"}),
        platform("DELETING"),
    ]
    asked = [ElicitRequestFormParams(message=f"{HEADLINE}\nWhere: …", requested_schema=FORM) for _ in range(2)]
    return Session(
        Report(protocol="any", tools=list(TOOLS), results=results, asked=asked), [[*WAITS, "declined"], [*SENT]]
    )


def without_capability() -> Session:
    results = [error(*NO_FORM), platform("DEPLOYED")]
    return Session(Report(protocol="any", tools=list(TOOLS), results=results, asked=[]), [[*WAITS]])


def without_any_form() -> Session:
    """The story with a person, by a client that cannot ask them."""
    session = with_a_person()
    session.report.results[1:] = [error(*NO_FORM), platform("DEPLOYED")] * 2
    session.report.asked.clear()
    return Session(session.report, [[*WAITS], [*WAITS]])


Break = Callable[[Session], object]


def replaces(position: int, result: CallToolResult) -> Break:
    return lambda session: session.report.results.__setitem__(position, result)


def test_the_story_as_it_should_be_has_no_problem() -> None:
    fine: dict[str, list[str]] = {step: [] for step in STEPS}

    assert judge(with_a_person(), without_capability(), answers_forms=True) == fine
    assert judge(without_any_form(), without_capability(), answers_forms=False) == fine


BREAKS: list[tuple[str, Break]] = [
    ("list", lambda s: s.report.tools.pop()),
    ("dry run", replaces(0, answer({"sent": True}))),
    ("declined", replaces(1, answer({"sent": True}))),
    ("declined", replaces(2, platform("DELETING"))),
    ("declined", lambda s: s.record.__setitem__(0, SENT)),
    ("accepted", replaces(3, error("delete_platform was not sent."))),
    ("accepted", replaces(4, platform("DEPLOYED"))),
    ("accepted", lambda s: s.record.append(SENT)),
    ("accepted", lambda s: s.report.asked.pop()),
]


@pytest.mark.parametrize(("step", "broken"), BREAKS)
def test_a_step_that_went_wrong_fails_alone(step: str, broken: Break) -> None:
    session = with_a_person()
    broken(session)

    problems = judge(session, without_capability(), answers_forms=True)

    assert [each for each in STEPS if problems[each]] == [step]


BREAKS_WITHOUT: list[Break] = [
    replaces(0, answer({"sent": True})),
    replaces(0, error("delete_platform was not sent.")),
    replaces(1, platform("DELETING")),
    lambda s: s.record.__setitem__(0, SENT),
]


@pytest.mark.parametrize("broken", BREAKS_WITHOUT)
def test_a_change_without_the_capability_fails(broken: Break) -> None:
    session = without_capability()
    broken(session)

    problems = judge(with_a_person(), session, answers_forms=True)

    assert [each for each in STEPS if problems[each]] == ["no capability"]


def test_a_client_said_to_show_no_form_fails_when_it_does() -> None:
    """So the table does not go on to say "cannot" of a release that can."""
    problems = judge(with_a_person(), without_capability(), answers_forms=False)

    assert [each for each in STEPS if problems[each]] == ["declined", "accepted"]
