"""Fixtures for all tests."""

import itertools
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from aimlops_server.sandbox.app import Sandbox

from tests.world import ERAS, PASSWORD, Clock, make_sandbox

# A busy machine is not a failure: hypothesis would time each example. Half its usual number of examples, since every
# run draws others: the suite is run often, and is to take less than two minutes on two cores.
hypothesis.settings.register_profile("tests", deadline=None, max_examples=50)
hypothesis.settings.load_profile("tests")

# httpx2's ASGI transport looks for it at each request, and a search that finds nothing takes a third of a millisecond.
sys.modules.setdefault("sniffio", None)  # pyright: ignore[reportArgumentType] reason: None is how a missing module is noted

# A shell starts background jobs, CI's among them, with SIGINT ignored, and every process that a test starts would
# inherit that: the tests want it as at a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for processes."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    """Both protocol eras: the handshake and the stateless one."""
    return request.param


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return make_sandbox(clock)


@pytest.fixture(scope="session")
def _places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New names in one directory: pytest's own way lists all earlier ones for each new one."""
    directory = tmp_path_factory.mktemp("own")
    return (directory / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, _places: Iterator[Path]) -> None:
    """A developer's own keys must not reach a test."""
    for name in list(os.environ):
        if name.upper().startswith("SCP_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    # Neither exists: a test that writes there makes it.
    monkeypatch.setenv("SCP_MCP_STATE_DIR", str(next(_places)))
    monkeypatch.setenv("SCP_MCP_SECRET_TEST", PASSWORD)
    home = str(next(_places))
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("USERPROFILE", home)


@pytest.fixture
def own_logging() -> Iterator[None]:
    """What a test does to the process's logging ends with it."""
    root, ours = logging.getLogger(), logging.getLogger("aimlops_server")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level = handlers, level
    ours.setLevel(our_level)
