"""A server killed in the middle of a change, at every step: the next start tells the truth and sends nothing twice."""

import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aimlops_server.audit import verify
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME
from aimlops_server.sandbox.serve import serve

from tests.killed_server import POINTS, next_start
from tests.world import ERAS, PASSWORD, create_arguments, settings

pytestmark = pytest.mark.anyio

LIMIT_S = 60
LEGACY, STATELESS = ERAS
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "create_platform": (create_arguments(), {"confirm": True}),
    "update_platform": (
        {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"},
        {"confirm": True},
    ),
    "delete_platform": ({"release_id": DEPLOYED_RELEASE_ID}, {"release_name": DEPLOYED_RELEASE_NAME}),
}


@asynccontextmanager
async def listening(sandbox: Sandbox) -> AsyncGenerator[str]:
    url: list[str] = []
    ready = anyio.Event()

    def note(base_url: str) -> None:
        url.append(base_url)
        ready.set()

    async with anyio.create_task_group() as group:
        group.start_soon(serve, sandbox, "127.0.0.1", 0, note)
        await ready.wait()
        yield url[0]
        group.cancel_scope.cancel()


def command(what: str, era: str, tool: str) -> list[str]:
    arguments, yes = CHANGES[tool]
    return [sys.executable, "-m", "tests.killed_server", what, era, tool, json.dumps(arguments), json.dumps(yes)]


@pytest.mark.parametrize(
    ("tool", "point", "era"),
    [
        *(("delete_platform", point, LEGACY) for point in POINTS),
        ("create_platform", "answered", LEGACY),
        ("update_platform", "answered", STATELESS),
    ],
)
async def test_a_killed_server_leaves_what_the_next_one_settles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tool: str, point: str, era: str
) -> None:
    sandbox = Sandbox(clock_s=time.time)
    environment = {
        **os.environ,
        "SCP_ACCESS_KEY": ACCESS_KEY,
        "SCP_SECRET_KEY": SECRET_KEY,
        "SCP_MCP_STATE_DIR": str(tmp_path / "state"),
        "SCP_MCP_SECRET_TEST": PASSWORD,
        "SCP_MCP_APPROVAL_WAIT_S": "0",
    }
    with anyio.fail_after(LIMIT_S):
        async with listening(sandbox) as url:
            environment["SCP_ENDPOINT"] = url
            async with await anyio.open_process(command(point, era, tool), env=environment) as process:
                assert process.stdout
                assert (await process.stdout.receive()).decode().split() == [point]
                process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
                await process.wait()
            acted = len(sandbox.changes)
            own = settings(endpoint=url, state_dir=str(tmp_path / "state"), approval_wait_s=0)
            rows = await next_start(own, tool, CHANGES[tool][0])

    expected: dict[str, tuple[list[tuple[str, str | None]], int]] = {
        "question": ([("waiting", None)], 0),
        "approved": ([("approved", "form")], 0),
        "started": ([("absent", "form")], 0),
        "answered": ([("committed", "form")], 1),
        "recorded": ([("committed", "form")], 1),
    }
    assert (rows, acted) == expected[point]
    found = "was sent by a process that died; its outcome is unknown" in caplog.text
    assert found is (point in {"started", "answered"})
    assert verify(tmp_path / "state").ok
    # The same call again, with nobody to ask: an approval that stands is used, and nothing is ever sent twice.
    assert len(sandbox.changes) == (1 if point in {"approved", "answered", "recorded"} else 0)
    stored = b"".join(path.read_bytes() for path in everything_in(tmp_path))
    assert PASSWORD.encode() not in stored + caplog.text.encode()


def everything_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]
