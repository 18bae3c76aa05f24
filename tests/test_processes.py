"""Real processes: what a client meets over stdio and HTTP, and how the program starts and ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.abc
import httpx2
import pytest
from aimlops_server.guard.ledger import Ledger
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox
from aimlops_server.sandbox.faults import Fault, FaultKind
from aimlops_server.sandbox.seed import (
    DEPLOYED_RELEASE_ID,
    DEPLOYED_RELEASE_NAME,
    FREE_CLUSTER_ID,
    KOREAN_RELEASE_ID,
    KOREAN_RELEASE_NAME,
    SEEDED_PLATFORMS,
)
from aimlops_server.serving import SHUTDOWN_S
from aimlops_tools import OPERATIONS
from aimlops_tools.procedure import PROCEDURES
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult

from tests.test_killed import listening as over_http
from tests.world import ERAS, Person, create_arguments, declines, says, text_of

pytestmark = pytest.mark.anyio

LIMIT_S = 20
END_LIMIT_S = 3
MODULE = ("-m", "aimlops_server")
# One process serves both eras over HTTP, and a platform can be deleted once.
VICTIMS: dict[str, tuple[str, str]] = dict(
    zip(
        ERAS,
        ((DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME), (KOREAN_RELEASE_ID, KOREAN_RELEASE_NAME)),
        strict=True,
    )
)
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch: EOF ends it there")

INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
INITIALIZED: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST_TOOLS: dict[str, Any] = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
DELETE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 3,
    "method": "tools/call",
    "params": {"name": "delete_platform", "arguments": {"release_id": DEPLOYED_RELEASE_ID}},
}
HTTP_HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def environment(**values: str) -> dict[str, str]:
    """This machine's environment without a developer's settings."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("SCP_") and not name.upper().endswith("_PROXY")
    }
    state = {name: os.environ[name] for name in ("SCP_MCP_STATE_DIR", "SCP_MCP_SECRET_TEST") if name in os.environ}
    return {**own, **state, "PYTHONWARNINGS": "error", "SCP_MCP_APPROVAL_WAIT_S": "0", **values}


def as_a_shell_shows(returncode: int | None) -> int | None:
    """An exit by a signal as 128 + signal, whether the program said so or the signal itself ended it."""
    return returncode if returncode is None or returncode >= 0 else 128 - returncode


def run(*arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    """A process that ends by itself; its stdin is empty."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(**values),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )


class Stdio:
    """One server process, and its stdio as lines of JSON."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin
        assert process.stdout
        self.process = process
        self.stdin = process.stdin
        self.stdout = BufferedByteReceiveStream(process.stdout)

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.stdin.send(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        """The next line of stdout, which must be a protocol message."""
        message = json.loads(await self.stdout.receive_until(b"\n", 4 * 1024 * 1024))
        assert message["jsonrpc"] == "2.0"
        return message

    async def rest(self) -> bytes:
        """What is left on stdout, to its end."""
        left = bytearray()
        while True:
            try:
                left += await self.stdout.receive()
            except anyio.EndOfStream:
                return bytes(left)


@asynccontextmanager
async def stdio(*arguments: str, program: Sequence[str] = MODULE, **values: str) -> AsyncGenerator[Stdio]:
    """A server over stdio, with everything in it bounded in time and the process gone afterwards."""
    with anyio.fail_after(LIMIT_S):
        async with await anyio.open_process(
            [sys.executable, *program, *arguments], env=environment(**values), stderr=subprocess.PIPE
        ) as process:
            try:
                yield Stdio(process)
            finally:
                if process.returncode is None:
                    process.kill()


@contextmanager
def listening(*arguments: str, stream: str, **values: str) -> Generator[tuple["subprocess.Popen[str]", IO[str]]]:
    """A process that serves HTTP; the stream on which it says where. It is gone afterwards."""
    with subprocess.Popen(
        [sys.executable, *MODULE, *arguments],
        env=environment(**values),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        # Reading a line has no limit of its own.
        watchdog = threading.Timer(LIMIT_S * 2, process.kill)
        watchdog.start()
        try:
            said = process.stdout if stream == "stdout" else process.stderr
            assert said
            yield process, said
        finally:
            process.kill()
            watchdog.cancel()


def address_in(line: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/mcp$", line.strip())
    assert found, line
    return found.group()


@pytest.fixture(scope="module")
def http_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a server over HTTP that serves this module's tests."""
    home = str(tmp_path_factory.mktemp("home"))  # made before the fixture that gives each test its own
    arguments = ("--sandbox", "--transport", "http", "--port", "0")
    with listening(*arguments, stream="stderr", HOME=home, USERPROFILE=home) as (_, stderr):
        yield address_in(stderr.readline())


def data_of(result: CallToolResult) -> dict[str, Any]:
    assert result.structured_content is not None, text_of(result)
    return result.structured_content


def connect(server: StdioServerParameters | str, era: str, person: Person | None = None) -> Client:
    return Client(server, mode=era, elicitation_callback=person)  # pyright: ignore[reportArgumentType] reason: the SDK types mode as literals


async def delete(server: str, era: str, release_id: str, person: Person | None) -> CallToolResult:
    async with connect(server, era, person) as client:
        return await client.call_tool("delete_platform", {"release_id": release_id})


async def use_everything(client: Client) -> None:
    """Lists, reads, prompts and completes: what needs nobody's yes."""
    tools = (await client.list_tools()).tools
    read = await client.call_tool("get_platform", {"release_id": KOREAN_RELEASE_ID})
    listed = (await client.list_resources()).resources
    prompt = await client.get_prompt("decommission_platform", {"release_id": KOREAN_RELEASE_ID})

    assert [tool.name for tool in tools] == [*OPERATIONS, *PROCEDURES]
    assert not read.is_error
    assert data_of(read)["release_name"] == KOREAN_RELEASE_NAME
    assert len([r for r in listed if r.uri.startswith("aimlops://platforms/")]) == SEEDED_PLATFORMS
    assert KOREAN_RELEASE_ID in prompt.messages[0].model_dump_json()


async def test_stdio_serves_reads_and_a_delete_that_a_person_decides(era: str) -> None:
    """Declined, nothing is sent; with the typed name, the platform goes."""
    server = StdioServerParameters(command=sys.executable, args=[*MODULE, "--sandbox"], env={"PYTHONWARNINGS": "error"})
    person = declines()
    with anyio.fail_after(LIMIT_S):
        async with connect(server, era, person) as client:
            await use_everything(client)
            declined = await client.call_tool("delete_platform", {"release_id": DEPLOYED_RELEASE_ID})
            before = await client.call_tool("get_platform", {"release_id": DEPLOYED_RELEASE_ID})
            person.reply = says({"release_name": DEPLOYED_RELEASE_NAME}).reply
            accepted = await client.call_tool("delete_platform", {"release_id": DEPLOYED_RELEASE_ID})
            after = await client.call_tool("get_platform", {"release_id": DEPLOYED_RELEASE_ID})

    assert declined.is_error
    assert text_of(declined).startswith("delete_platform was not sent. The user declined.")
    assert data_of(before)["release_state"] == "DEPLOYED"
    assert data_of(accepted)["sent"] is True
    assert data_of(after)["release_state"] == "DELETING"


async def test_http_serves_reads_and_a_delete_that_a_person_decides(era: str, http_url: str) -> None:
    release_id, release_name = VICTIMS[era]
    with anyio.fail_after(LIMIT_S):
        declined = await delete(http_url, era, release_id, declines())
        async with connect(http_url, era) as client:
            tools = (await client.list_tools()).tools
            before = await client.call_tool("get_platform", {"release_id": release_id})
        accepted = await delete(http_url, era, release_id, says({"release_name": release_name}))

    assert declined.is_error
    assert text_of(declined).startswith("delete_platform was not sent. The user declined.")
    assert [tool.name for tool in tools] == [*OPERATIONS, *PROCEDURES]
    assert data_of(before)["release_state"] == "DEPLOYED"
    assert data_of(accepted)["sent"] is True


async def test_client_that_cannot_ask_changes_nothing_over_http(era: str, http_url: str) -> None:
    with anyio.fail_after(LIMIT_S):
        refused = await delete(http_url, era, VICTIMS[era][0], None)

    assert refused.is_error


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "[::1]:{port}"}, 200),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": "127.0.0.1:{port}.example.org"}, 421),
        ({"Host": "example.org:{port}"}, 421),
        ({"Host": "example.org"}, 421),
        ({"Host": "0.0.0.0:{port}"}, 421),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://localhost:{port}"}, 200),
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://127.0.0.1:{port}.example.org"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_only_exact_host_and_origin_are_served(http_url: str, header: dict[str, str], status: int) -> None:
    """421 for another Host, 403 for another Origin: a web page cannot drive the server (DNS rebinding)."""
    port = str(httpx2.URL(http_url).port)
    headers = HTTP_HEADERS | {name: value.replace("{port}", port) for name, value in header.items()}

    answer = httpx2.post(http_url, headers=headers, json=INITIALIZE, timeout=LIMIT_S, trust_env=False)

    assert answer.status_code == status
    assert ("scp-aimlops-mcp" in answer.text) is (status == 200)


def test_only_the_one_path_is_served(http_url: str) -> None:
    for path in ("/", "/mcp/x", "/docs", "/sse"):
        url = http_url.removesuffix("/mcp") + path
        assert httpx2.post(url, headers=HTTP_HEADERS, json=INITIALIZE, trust_env=False).status_code == 404


async def test_server_works_against_a_sandbox_in_another_process() -> None:
    """With the three lines that the sandbox prints as its environment, over real HTTP and real signatures."""
    with listening("sandbox", "--port", "0", "--speed", "1000", stream="stdout") as (_, stdout):
        printed = dict(stdout.readline().strip().split("=", 1) for _ in range(3))
        server = StdioServerParameters(command=sys.executable, args=[*MODULE], env=printed)
        with anyio.fail_after(LIMIT_S):
            async with connect(server, "legacy", says({"release_name": DEPLOYED_RELEASE_NAME})) as client:
                await use_everything(client)
                deleted = await client.call_tool("delete_platform", {"release_id": DEPLOYED_RELEASE_ID})
                created = await client.call_tool("create_platform", {**create_arguments(), "dry_run": True})

    assert printed["SCP_ENDPOINT"].startswith("http://127.0.0.1:")
    assert printed == {
        "SCP_ENDPOINT": printed["SCP_ENDPOINT"],
        "SCP_ACCESS_KEY": ACCESS_KEY,
        "SCP_SECRET_KEY": SECRET_KEY,
    }
    assert data_of(deleted)["sent"] is True
    plan = data_of(created)["plan"]
    address = printed["SCP_ENDPOINT"].format(service="aimlops-platform")
    assert plan["request"]["url"] == f"{address}/v1/aimlops-platform"


async def test_without_keys_tools_are_listed_and_every_call_says_what_to_set() -> None:
    calls: dict[str, dict[str, Any]] = {name: {} for name in OPERATIONS}
    calls["get_platform"] = {"release_id": DEPLOYED_RELEASE_ID}
    calls["delete_platform"] = {"release_id": DEPLOYED_RELEASE_ID}
    calls["update_platform"] = {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"}
    calls["create_platform"] = create_arguments()
    calls["check_platform_name"] = {"release_name": "x"}
    for name in ("list_nodes", "list_storage_classes", "validate_cluster_namespace"):
        calls[name] = {"cluster_id": FREE_CLUSTER_ID}
    calls["check_cluster_version"] = {"cluster_id": FREE_CLUSTER_ID, "version": "v1.33.5"}
    calls["validate_cluster_resources"] = {"cluster_id": FREE_CLUSTER_ID, "product_type": "mini"}
    async with stdio() as server:
        await server.send(INITIALIZE, INITIALIZED, LIST_TOOLS)
        await server.receive()
        tools = (await server.receive())["result"]["tools"]
        texts: dict[str, str] = {}
        for number, (name, arguments) in enumerate(calls.items(), 10):
            params = {"name": name, "arguments": arguments}
            await server.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
            result = (await server.receive())["result"]
            assert result["isError"] is True
            texts[name] = result["content"][0]["text"]

    assert [tool["name"] for tool in tools] == [*OPERATIONS, *PROCEDURES]
    for name, text in texts.items():
        assert text.startswith(f"{name} ")
        assert "SCP_ACCESS_KEY and SCP_SECRET_KEY not set: requests cannot be signed.\nChanged: nothing" in text


BROKEN_FILE = "{home}/.scpconf/credentials.json: is not valid JSON"


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(
    ("arguments", "values", "words"),
    [
        ([], {"SCP_REGION": "mars-1"}, "SCP_REGION must be one of kr-west1, kr-east1 in environment 'e', not 'mars-1'"),
        (["--api-version", "9"], {}, "SCP_API_VERSION "),
        ([], {"SCP_ENDPOINT": "http://example.org"}, "SCP_ENDPOINT must start with https://"),
        ([], {"SCP_ACCESS_KEY": "two words", "SCP_MCP_READ_TIMEOUT_S": "-1"}, "SCP_ACCESS_KEY "),
        (["--sandbox"], {"SCP_LANGUAGE": "xx"}, "SCP_LANGUAGE "),
        (["--transport", "http", "--host", "0.0.0.0"], {}, "--host must be one of 127.0.0.1, ::1, localhost"),
        (["--transport", "http", "--host", "example.org"], {}, "--host must be one of 127.0.0.1, ::1, localhost"),
        (["sandbox", "--host", "0.0.0.0"], {}, "the sandbox serves loopback addresses only, not '0.0.0.0'"),
        (["sandbox", "--fault", "nonsense"], {}, "'nonsense' is not a fault"),
        ([], {"HOME": "{home}", "USERPROFILE": "{home}"}, BROKEN_FILE.replace("/", os.sep)),
    ],
)
def test_malformed_settings_are_one_line_and_exit_code_2(
    arguments: list[str],
    values: dict[str, str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from aimlops_server.__main__ import main

    (tmp_path / ".scpconf").mkdir()
    (tmp_path / ".scpconf" / "credentials.json").write_text("{", "utf-8")
    for name, value in values.items():
        monkeypatch.setenv(name, value.replace("{home}", str(tmp_path)))

    code = main(arguments)

    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert err.startswith(f"scp-aimlops-mcp: {words.replace('{home}', str(tmp_path))}")
    assert err.count("\n") == 1
    assert err.endswith("\n")


def test_malformed_setting_ends_the_process_with_one_line_and_exit_code_2() -> None:
    process = run(*MODULE, SCP_REGION="mars-1")

    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("scp-aimlops-mcp: SCP_REGION must be one of ")
    assert process.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "argument --port: must be from 0 to 65535, not 70000"),
        (["sandbox", "--port", "x"], "argument --port: "),
        (["--speed", "nan"], "argument --speed: must be a number above 0, not nan"),
        (["--speed", "0"], "argument --speed: must be a number above 0, not 0.0"),
        (["--transport", "smtp"], "argument --transport: "),
        (["--secret-key=x"], "unrecognized arguments: --secret-key"),
        (["sandbox", "--unknown"], "unrecognized arguments: --unknown"),
        (["nonsense"], "argument command: invalid choice: 'nonsense'"),
    ],
)
def test_malformed_command_line_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    from aimlops_server.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(arguments)

    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"scp-aimlops-mcp: {words}")
    assert err.endswith("(see --help)\n")
    assert err.count("\n") == 1


def test_taken_port_is_one_line_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = run(*MODULE, "--sandbox", "--transport", "http", "--port", port)

    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith(f"scp-aimlops-mcp: cannot listen on 127.0.0.1:{port}: ")
    assert process.stderr.count("\n") == 1


async def test_end_of_input_ends_it_and_nothing_was_sent_or_printed() -> None:
    """Exit code 0; stdout held protocol lines only, warnings included; no connection was made by starting."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.setblocking(False)
        endpoint = f"http://127.0.0.1:{service.getsockname()[1]}"
        keys = {"SCP_ACCESS_KEY": ACCESS_KEY, "SCP_SECRET_KEY": SECRET_KEY, "SCP_ENDPOINT": endpoint}
        async with stdio(**keys, SCP_API_VERSION="1.0") as server:
            await server.send(INITIALIZE, INITIALIZED, LIST_TOOLS)
            initialized, listed = await server.receive(), await server.receive()
            with anyio.fail_after(END_LIMIT_S):
                await server.stdin.aclose()
                rest = await server.rest()
                returncode = await server.process.wait()
            assert server.process.stderr
            stderr = (await server.process.stderr.receive()).decode()
        with pytest.raises(BlockingIOError):
            service.accept()

    assert (initialized["id"], listed["id"], rest, returncode) == (1, 2, b"", 0)
    assert len(listed["result"]["tools"]) == len(OPERATIONS) + len(PROCEDURES)
    assert "SCP_API_VERSION=1.0 is deprecated" in stderr


@needs_signals
@pytest.mark.parametrize(
    ("name", "asking"), [("SIGTERM", False), ("SIGINT", True)], ids=["idle", "with an open question"]
)
async def test_signal_ends_stdio_in_time(name: str, asking: bool) -> None:
    number = signal.Signals[name]
    async with stdio("--sandbox") as server:
        await server.send(INITIALIZE, INITIALIZED)
        await server.receive()
        if asking:
            await server.send(DELETE)
            assert (await server.receive())["method"] == "elicitation/create"
        with anyio.fail_after(END_LIMIT_S):
            server.process.send_signal(number)
            rest = await server.rest()
            returncode = await server.process.wait()

    assert returncode == 128 + number
    # Whatever still came is protocol, too.
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest.splitlines())


@needs_signals
def test_signal_ends_http_in_time_with_an_open_question() -> None:
    number = signal.SIGTERM
    with (
        listening("--sandbox", "--transport", "http", "--port", "0", stream="stderr") as (process, stderr),
        httpx2.Client(headers=HTTP_HEADERS, timeout=LIMIT_S, trust_env=False) as http,
    ):
        url = address_in(stderr.readline())
        http.headers["Mcp-Session-Id"] = http.post(url, json=INITIALIZE).headers["Mcp-Session-Id"]
        assert http.post(url, json=INITIALIZED).status_code == 202
        with http.stream("POST", url, json=DELETE) as answer:
            lines = answer.iter_lines()
            assert any("elicitation/create" in line for line in lines)
            process.send_signal(number)
            returncode = process.wait(END_LIMIT_S)

    assert as_a_shell_shows(returncode) == 128 + number


UPDATE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 3,
    "method": "tools/call",
    "params": {
        "name": "update_platform",
        "arguments": {"release_id": DEPLOYED_RELEASE_ID, "ai_ml_ops_platform_endpoint_type": "Public"},
    },
}


def yes_to(question: dict[str, Any]) -> dict[str, Any]:
    assert question["method"] == "elicitation/create"
    return {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"confirm": True}}}


async def rows() -> list[tuple[str, str | None]]:
    async with aclosing(Ledger(Path(os.environ["SCP_MCP_STATE_DIR"]), lambda: 0.0)) as ledger:
        return [(row.status, row.observed) for row in await ledger.latest()]


@needs_signals
@pytest.mark.parametrize(
    ("transport", "name", "twice"),
    [("stdio", "SIGTERM", False), ("stdio", "SIGINT", True), ("http", "SIGINT", False), ("http", "SIGTERM", True)],
)
async def test_a_signal_while_a_change_is_out_ends_it_once_the_outcome_is_on_record(
    transport: str, name: str, twice: bool
) -> None:
    """The answer takes longer than the process has for ending; a second signal does not wait for it."""
    number = signal.Signals[name]
    sandbox = Sandbox(clock_s=time.time)
    sandbox.faults.add(Fault(FaultKind.SLOW, "PUT", delay_s=30 if twice else SHUTDOWN_S + 0.3))
    with anyio.fail_after(LIMIT_S):
        async with over_http(sandbox) as url:
            keys = {"SCP_ACCESS_KEY": ACCESS_KEY, "SCP_SECRET_KEY": SECRET_KEY, "SCP_ENDPOINT": url}
            async with asked_over(transport, keys) as process:
                while not sandbox.changes:
                    await anyio.lowlevel.checkpoint()
                process.send_signal(number)
                if twice:
                    await said(process, "a second signal ends this at once")
                    process.send_signal(number)
                returncode = await process.wait()

    assert as_a_shell_shows(returncode) == 128 + number
    assert await rows() == [("started", None) if twice else ("committed", "accepted")]
    assert len(sandbox.changes) == 1


async def said(process: anyio.abc.Process, text: str) -> str:
    """The line of stderr that holds `text`."""
    assert process.stderr
    lines = BufferedByteReceiveStream(process.stderr)
    while text not in (line := (await lines.receive_until(b"\n", 65536)).decode()):
        pass
    return line


@asynccontextmanager
async def asked_over(transport: str, keys: dict[str, str]) -> AsyncGenerator[anyio.abc.Process]:
    """A server whose user was asked about an update over stdio or HTTP, and said yes."""
    if transport == "stdio":
        async with stdio(**keys) as server:
            await server.send(INITIALIZE, INITIALIZED)
            await server.receive()
            await server.send(UPDATE)
            await server.send(yes_to(await server.receive()))
            yield server.process
        return
    async with (
        stdio("--transport", "http", "--port", "0", **keys) as server,
        httpx2.AsyncClient(headers=HTTP_HEADERS, timeout=LIMIT_S, trust_env=False) as http,
    ):
        url = address_in(await said(server.process, "serving MCP at"))
        http.headers["Mcp-Session-Id"] = (await http.post(url, json=INITIALIZE)).headers["Mcp-Session-Id"]
        await http.post(url, json=INITIALIZED)
        async with http.stream("POST", url, json=UPDATE) as answer:
            async for line in answer.aiter_lines():
                if "elicitation/create" in line:
                    await http.post(url, json=yes_to(json.loads(line.removeprefix("data: "))))
                    break
            yield server.process


@needs_signals
def test_signal_ends_the_sandbox_in_time() -> None:
    number = signal.SIGINT
    with listening("sandbox", "--port", "0", stream="stdout") as (process, stdout):
        assert stdout.readline().startswith("SCP_ENDPOINT=")
        process.send_signal(number)
        returncode = process.wait(END_LIMIT_S)

    assert as_a_shell_shows(returncode) == 128 + number


# Serves as the program does; something in it reads stdin and writes to stdout when a signal comes.
PRINTING = """
import os, signal, sys
from aimlops_server.__main__ import main
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, os.read(0, 1) + b"stray"))
sys.exit(main([]))
"""


@needs_signals
async def test_client_that_reads_late_gets_every_answer_whole_and_no_stray_line() -> None:
    """More than a pipe holds is waiting before the client reads on; what is printed meanwhile goes to stderr.

    Nor can anything else read the client's messages: its stdin is empty.
    """
    count = 12
    async with stdio(program=("-c", PRINTING)) as server:
        await server.send(INITIALIZE, INITIALIZED)
        await server.receive()
        await server.send(*({**LIST_TOOLS, "id": number} for number in range(count)))
        server.process.send_signal(signal.SIGUSR1)
        assert server.process.stderr
        assert await server.process.stderr.receive() == b"stray"
        answers = [await server.receive() for _ in range(count)]

    assert sorted(answer["id"] for answer in answers) == list(range(count))
    assert all(answer["result"] == answers[0]["result"] for answer in answers)


LIGHT = """
import sys
from aimlops_server.__main__ import main
try:
    main([{argument!r}])
except SystemExit as ended:
    heavy = {{"mcp", "mcp_types", "pydantic", "anyio", "httpx2", "aimlops_tools"}} & set(sys.modules)
    sys.exit(f"imports {{sorted(heavy)}}" if heavy else ended.code)
"""


def test_help_is_quick() -> None:
    process = run("-c", LIGHT.format(argument="--help"))

    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("usage: scp-aimlops-mcp")


# Serves as the program does, and tells at its end what that imported beside the SDK.
STARTED = """
import sys, mcp, mcp.server.lowlevel, mcp.server.stdio
before = set(sys.modules)
from aimlops_server.__main__ import main
code = main([])
sys.stderr.write("\\n".join(set(sys.modules) - before))
sys.exit(code)
"""
NOT_OF_A_START = (
    *("uvicorn", "starlette", "http.server", "jinja2", "webbrowser"),  # web, templates
    *("click", "rich", "shtab"),  # command line
    *("sqlite3", "_sqlite3", "filelock"),  # database, locks
    *("stamina", "tenacity"),  # retries
)
# The budget of our own: what lists the tools, and reads one. The rest is imported by the first use of it.
OF_A_START = {
    *("aimlops_server", "aimlops_server.__main__", "aimlops_server.app", "aimlops_server.arguments"),
    *("aimlops_server.client", "aimlops_server.describe", "aimlops_server.errors", "aimlops_server.in_flight"),
    *("aimlops_server.logs", "aimlops_server.refusals", "aimlops_server.results", "aimlops_server.serving"),
    *("aimlops_server.settings", "aimlops_server.signing", "aimlops_server.tool"),
    *("aimlops_tools", "aimlops_tools.fields", "aimlops_tools.models", "aimlops_tools.models.clusters"),
    *("aimlops_tools.models.images", "aimlops_tools.models.platforms", "aimlops_tools.operation"),
    *("aimlops_tools.procedure", "aimlops_tools.schema", "aimlops_tools.text"),
}


async def test_plain_start_imports_nothing_that_only_other_uses_need() -> None:
    """Up to the end of a session that listed the tools. The SDK itself imports some of the web: nothing is added."""
    async with stdio(program=("-c", STARTED)) as server:
        await server.send(INITIALIZE, INITIALIZED, LIST_TOOLS)
        await server.receive()
        assert (await server.receive())["result"]["tools"]
        await server.stdin.aclose()
        assert server.process.stderr
        told = b"".join([part async for part in server.process.stderr]).decode()
        returncode = await server.process.wait()
    imported = set(told.split())

    assert returncode == 0, told
    assert {name for name in imported if name.startswith("aimlops_")} == OF_A_START
    assert {name for name in imported if name.startswith(NOT_OF_A_START)} == set()
