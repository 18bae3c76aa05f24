"""The operations as a table, for the README and for the resource that describes this API."""

from aimlops_tools.operation import OPERATIONS


def operations_table() -> str:
    """A Markdown table of every tool: operation, effect, API versions, what it does."""
    columns = ("tool", "operation", "effect", "API versions", "what it does")
    rows = [_row(*columns), _row(*("---" for _ in columns))]
    for name, operation in OPERATIONS.items():
        spec = operation.spec
        first_sentence = " ".join((operation.__doc__ or "").split()).split(". ")[0].rstrip(".")
        call = f"`{spec.method} {spec.path}`"
        rows.append(_row(f"`{name}`", call, spec.effect, ", ".join(spec.versions), first_sentence))
    return "\n".join(rows) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
