"""The tools as tables, for the README, for docs/reference.md and for the resource that describes them."""

from collections.abc import Iterable, Sequence

from aimlops_tools.operation import OPERATIONS
from aimlops_tools.procedure import PROCEDURES


def operations_table() -> str:
    """A Markdown table of every operation: its call, effect, API versions, what it does."""
    rows = [
        (
            f"`{name}`",
            f"`{operation.spec.method} {operation.spec.path}`",
            operation.spec.effect,
            ", ".join(operation.spec.versions),
            _first_sentence(operation),
        )
        for name, operation in OPERATIONS.items()
    ]
    return table(("tool", "operation", "effect", "API versions", "what it does"), rows)


def procedures_table() -> str:
    """A Markdown table of every procedure."""
    return table(("tool", "what it does"), [(f"`{name}`", _first_sentence(each)) for name, each in PROCEDURES.items()])


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table. A bar or a line end inside a cell would break it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _first_sentence(call: type) -> str:
    return " ".join((call.__doc__ or "").split()).split(". ")[0].rstrip(".")
