"""Planted secrets never come out again: not in a result, a question, an error, a log line, a repr or a traceback."""

import logging
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import anyio
import pytest
from aimlops_server.app import build_server
from aimlops_server.errors import AimlopsError
from aimlops_server.sandbox.app import ACCESS_KEY, Sandbox
from aimlops_server.sandbox.faults import Fault, FaultKind
from aimlops_server.settings import Settings
from aimlops_server.signing import sign
from aimlops_tools.models.platforms import CreatePlatform
from pydantic import SecretStr

from tests.test_killed import command, everything_in, listening
from tests.world import (
    PASSWORD,
    PASSWORD_REFERENCE,
    Clock,
    agrees,
    create_arguments,
    declines,
    make_sandbox,
    session,
    settings,
    text_of,
)

pytestmark = pytest.mark.anyio

SECRET_KEY = "canary-secret-key-9Zt"
AUTH_TOKEN = "canary-auth-token-4Wm"
CANARIES = (SECRET_KEY, AUTH_TOKEN, PASSWORD)
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
SECRETS: dict[str, Any] = {"secret_key": SecretStr(SECRET_KEY), "auth_token": SecretStr(AUTH_TOKEN)}
FAULTS: list[Fault | None] = [
    None,
    *(Fault(kind, "POST") for kind in FaultKind if kind not in {FaultKind.STATUS, FaultKind.STATUS_AFTER}),
    *(Fault(FaultKind.STATUS, "POST", status=status) for status in (400, 401, 403, 500)),
]


def clean(text: str) -> bool:
    return not any(canary in text for canary in CANARIES)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.kind}-{f.status}" if f else "none")
async def test_a_whole_create_shows_no_secret_whatever_happens(
    clock: Clock, era: str, fault: Fault | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox = make_sandbox(clock, keys={ACCESS_KEY: SECRET_KEY})
    if fault:
        sandbox.faults.add(Fault(fault.kind, fault.method, status=fault.status, delay_s=0.01))
    outputs: list[str] = []
    for person in (agrees(), declines(), None):
        async with session(sandbox, era, person, clock=clock, read_timeout_s=0.2, **SECRETS) as client:
            result = await client.call_tool("create_platform", create_arguments())
            dry = await client.call_tool("create_platform", {**create_arguments(release_name="b"), "dry_run": True})
        outputs += [text_of(result), text_of(dry), repr(result), repr(dry), repr(person and person.asked)]

    assert [PASSWORD.encode() in change.body for change in sandbox.changes][:1] == [True]
    assert clean("".join(outputs))
    assert clean(caplog.text)


@pytest.mark.parametrize(
    "arguments",
    [
        create_arguments(initial_user_password=[PASSWORD]),
        create_arguments(initial_user_password={"value": PASSWORD}),
        create_arguments(initial_user_email=5, node_type=PASSWORD, cluster_id=PASSWORD),
        {**create_arguments(), "password": PASSWORD},
        create_arguments(image_id=None),
    ],
)
async def test_a_malformed_call_does_not_repeat_a_value(
    sandbox: Sandbox, clock: Clock, era: str, arguments: dict[str, Any]
) -> None:
    async with session(sandbox, era, agrees(), clock=clock) as client:
        result = await client.call_tool("create_platform", arguments)

    assert result.is_error
    assert clean(text_of(result))


def test_nothing_that_holds_a_secret_shows_it() -> None:
    known = settings(**SECRETS)
    create = CreatePlatform.validate_arguments(create_arguments())
    holders: list[object] = [known, known.keys, create, create.wire("1.1"), create.shown_body(), build_server(known)]

    assert create.secret_references() == [PASSWORD_REFERENCE]
    assert clean("".join(f"{holder!r}{holder}" for holder in holders))
    assert clean(known.model_dump_json() + create.model_dump_json())


def test_a_traceback_does_not_show_the_key() -> None:
    """A lone surrogate cannot be encoded, so signing fails with the keys in its frame."""
    try:
        sign(settings(**SECRETS).keys, "GET", "https://x/\ud800", 1)
    except UnicodeEncodeError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
        assert clean(told)
    else:
        pytest.fail("a lone surrogate was signed")


@pytest.mark.parametrize("name", ["SCP_AUTH_TOKEN", "SCP_TF_AUTH_TOKEN"])
def test_a_malformed_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f"{AUTH_TOKEN} with spaces")
    with pytest.raises(AimlopsError) as caught:
        Settings.read()
    assert str(caught.value) == "SCP_AUTH_TOKEN must be visible ASCII characters without spaces"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither such signals nor core files")
@pytest.mark.parametrize("ending", ["aborted", "unhandled error"])
async def test_a_server_that_dies_with_a_password_in_memory_leaves_none_behind(tmp_path: Path, ending: str) -> None:
    """Its last words hold a traceback; neither they nor its files hold a secret."""
    sandbox = Sandbox(keys={ACCESS_KEY: SECRET_KEY})
    environment = {
        **os.environ,
        "SCP_ACCESS_KEY": ACCESS_KEY,
        "SCP_SECRET_KEY": SECRET_KEY,
        "SCP_AUTH_TOKEN": AUTH_TOKEN,
        "SCP_MCP_STATE_DIR": str(tmp_path / "state"),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    said = b""
    with anyio.fail_after(60):
        async with listening(sandbox) as url:
            words = command("answered" if ending == "aborted" else "fatal", "legacy", "create_platform")
            environment["SCP_ENDPOINT"] = url
            async with await anyio.open_process(words, env=environment, cwd=tmp_path) as process:
                assert process.stdout
                assert process.stderr
                if ending == "aborted":
                    said += await process.stdout.receive()
                    process.send_signal(signal.SIGABRT)
                async for part in process.stderr:
                    said += part
                async for part in process.stdout:
                    said += part
                returncode = await process.wait()

    assert returncode == (-signal.SIGABRT if ending == "aborted" else 1)
    assert (b"Fatal Python error: Aborted" if ending == "aborted" else b"raise Fatal") in said
    assert PASSWORD.encode() in sandbox.changes[0].body
    left = {path.name: path.read_bytes() for path in everything_in(tmp_path)}
    assert "ledger.sqlite3" in left
    assert [name for name, content in {**left, "said": said}.items() for c in CANARIES if c.encode() in content] == []


@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
async def test_a_server_process_leaves_no_core_file() -> None:
    server = ["-m", "aimlops_server", "--sandbox"]
    with anyio.fail_after(60):
        async with await anyio.open_process(
            ["sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "sh", sys.executable, *server],
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin
            assert process.stdout
            await process.stdin.send(PING)
            await process.stdout.receive()  # it serves
            limits = await anyio.Path(f"/proc/{process.pid}/limits").read_text("utf-8")
            process.kill()

    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]
