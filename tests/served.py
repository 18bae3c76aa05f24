"""Our server as a process over HTTP, for what drives it from outside: the conformance suite and other clients."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

START_LIMIT_S = 30
SANDBOX = ("-m", "aimlops_server", "--sandbox", "--speed", "600")
OVER_HTTP = (*SANDBOX, "--transport", "http", "--port", "0")


def environment(state_dir: Path) -> dict[str, str]:
    """This machine's environment without a developer's settings, and without a browser that would open."""
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith("SCP_")}
    for display in ("DISPLAY", "WAYLAND_DISPLAY"):
        own.pop(display, None)
    return {**own, **settings(state_dir)}


def settings(state_dir: Path) -> dict[str, str]:
    """Where the server writes, and that it does not wait for a page that nobody opens."""
    return {"BROWSER": "true", "SCP_MCP_STATE_DIR": str(state_dir), "SCP_MCP_APPROVAL_WAIT_S": "0"}


@contextmanager
def served(arguments: tuple[str, ...], state_dir: Path) -> Generator[str]:
    """The address of the Python program that logs where it serves, while it runs."""
    state_dir.mkdir(mode=0o700, parents=True)
    log = state_dir / "stderr.txt"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, *arguments], env=environment(state_dir), stderr=stderr)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(10)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        if found := re.search(r"serving MCP at (\S+)", log.read_text("utf-8")):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text('utf-8')}")
