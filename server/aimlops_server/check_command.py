"""check_setup in a terminal."""

from aimlops_tools.procedure import Setup

_MARKS = {"pass": "ok", "fail": "FAIL", "could not check": "?"}


def report(setup: Setup) -> str:
    """The checks and the settings as lines, what to do under each failure."""
    width = max(len(check.name) for check in setup.checks)
    lines: list[str] = []
    for check in setup.checks:
        lines.append(f"{_MARKS[check.finding]:4}  {check.name:{width}}  {check.detail}")
        if check.do:
            lines.append(f"{'':4}  {'':{width}}  → {check.do}")
    lines += ["", *(f"{name}: {value}" for name, value in setup.settings.items())]
    return "\n".join([*lines, "", "ready" if setup.ready else "not ready: mend what failed", ""])
