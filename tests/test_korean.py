"""A Korean reader's plan is Korean: no sentence is missing, and each is filled in with the same values."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from aimlops_server.draft import FORMS
from aimlops_server.guard.plan import Finding
from aimlops_server.guard.question import LABELS
from aimlops_server.korean import KOREAN
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME, SMALL_CLUSTER_ID
from aimlops_tools import OPERATIONS
from aimlops_tools.fields import Check

from tests.world import Clock, create_arguments, declines, session

ROOT = Path(__file__).parent.parent
SERVER = ROOT / "server/aimlops_server"
# Where a plan's sentences are: the guard but for its terminal, whose `say` prints a line; the forms; the look-ups.
SAYING = [
    *(file for file in (SERVER / "guard").glob("*.py") if file.name != "terminal.py"),
    SERVER / "draft.py",
    SERVER / "procedures/options.py",
    ROOT / "tools/aimlops_tools/models/neighbours.py",
]
SAYS = {"say", "said"}
# A check's name is its first argument; it is said when the check is shown.
NAMES = {"Check", "_Reads", "_pass", "_probably", "_unknown", "_listed", "_fitting", "_asked"}


def literals(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from literals(one)
            yield from literals(other)
        case _:
            pass


def sentences() -> set[str]:
    """All that the code says in the person's language."""
    found: set[str] = set()
    for file in SAYING:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in SAYS | NAMES:
                    found |= set(literals(node.args[0]))
            elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and file.name == "shape.py":
                found |= set(literals(node.value.elts[0]))
            elif isinstance(node, ast.FunctionDef) and node.name == "_live":
                (shown,) = (each.value for each in node.body if isinstance(each, ast.Assign))
                assert isinstance(shown, ast.Dict)
                found |= {text for key in shown.keys if key for text in literals(key)}
    found |= {title for form in FORMS for title in form.values()} | {f"Type {label}" for label in LABELS.values()}
    found |= set(Finding)
    for operation in OPERATIONS.values():
        if issubclass(operation, Check) and not operation.documented:
            found |= {operation.true_means, operation.false_means}
    return found


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_no_sentence_is_missing_and_none_is_left_over() -> None:
    said = sentences()

    assert said - set(KOREAN) == set()
    assert set(KOREAN) - said == set()


def test_each_sentence_is_filled_in_with_the_same_values() -> None:
    assert {english for english, korean in KOREAN.items() if gaps(english) != gaps(korean)} == set()


def test_each_sentence_is_korean() -> None:
    same_in_both = {"VPC", "DNS", "ID"}
    korean = [text for text in KOREAN.values() if text not in same_in_both]

    assert [text for text in korean if not any("가" <= letter <= "힣" for letter in text)] == []


@pytest.mark.anyio
async def test_a_korean_reader_is_asked_in_korean(sandbox: Sandbox, clock: Clock, era: str) -> None:
    person = declines()
    async with session(sandbox, era, person, clock=clock, language="ko-KR") as client:
        await client.call_tool("create_platform", create_arguments(cluster_id=SMALL_CLUSTER_ID))
        await client.call_tool("delete_platform", {"release_id": DEPLOYED_RELEASE_ID})

    create, delete = (question.message.splitlines() for question in person.asked)
    assert create[0] == (
        f'Enterprise 플랫폼 "new-platform" 생성: 기존 클러스터 {SMALL_CLUSTER_ID}. '
        "삭제할 때까지 매시간 요금이 부과됩니다."
    )
    assert create[2] == (
        "자원: 실패 (추정) – 클러스터가 너무 작습니다 → 클러스터에 노드를 추가하거나 다른 클러스터를 고르세요: "
        'find_options(kind="clusters")'
    )
    assert create[-1] == "통과: 이름, 이미지, 클러스터, 버전, 네임스페이스, 비어 있는 클러스터, 할당량"
    assert delete[0] == f'플랫폼 "{DEPLOYED_RELEASE_NAME}" 삭제. 되돌릴 수 없습니다.'
    assert person.asked[1].requested_schema["properties"] == {
        "release_name": {"type": "string", "title": "플랫폼의 정확한 이름을 입력하세요"}
    }
