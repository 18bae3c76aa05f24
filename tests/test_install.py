"""`install` and `uninstall` change one entry of a client's file, after a yes, and nothing else."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from aimlops_server.__main__ import main
from aimlops_server.install import json_text
from aimlops_server.install.clients import CLIENTS, KEYS, NAME, file_of
from aimlops_server.install.links import claude_code_line, published
from aimlops_server.settings import Settings, sources
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.client.stdio import StdioServerParameters

LIMIT_S = 20
ENTRY: dict[str, Any] = {"command": "/bin/scp-aimlops-mcp", "args": ["--sandbox"]}
OTHER_SECRET = "canary-of-another-server"
KEY, SECRET = "canary-access-key", "canary-secret-key"
needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
documents = st.dictionaries(
    st.text() | st.just("mcpServers"), values | st.dictionaries(st.text() | st.just(NAME), values), max_size=4
).filter(lambda document: isinstance(document.get("mcpServers", {}), dict))


@st.composite
def texts(draw: st.DrawFn) -> str:
    """JSON objects as programs and people write them."""
    indent = draw(st.sampled_from([None, 1, 2, 4, "\t"]))
    text = json.dumps(draw(documents), indent=indent, ensure_ascii=draw(st.booleans()))
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return draw(st.sampled_from(["", "\n", " "])) + text + draw(st.sampled_from(["", "\n"]))


@given(texts(), values)
def test_putting_a_value_changes_it_alone_and_removing_it_gives_the_text_back(old: str, value: Any) -> None:
    before: dict[str, Any] = json.loads(old)
    servers = before.get("mcpServers", {})
    path = ("mcpServers", NAME)

    new = json_text.put(old, path, value)

    assert json.loads(new) == {**before, "mcpServers": {**servers, NAME: value}}
    assert json_text.put(new, path, value) == new
    if servers and NAME not in servers:
        assert json_text.remove(new, path) == old


@given(texts())
def test_removing_a_value_leaves_the_others(old: str) -> None:
    before: dict[str, Any] = json.loads(old)
    for name in before:
        rest = {key: value for key, value in before.items() if key != name}
        assert json.loads(json_text.remove(old, (name,))) == rest


def test_the_style_of_the_file_is_kept() -> None:
    old = '{\r\n\t"mcpServers": {\r\n\t\t"a": {"url": "u",   "n": 1.50}\r\n\t}\r\n}'
    assert json_text.put(old, ("mcpServers", "b"), {"args": []}) == (
        '{\r\n\t"mcpServers": {\r\n\t\t"a": {"url": "u",   "n": 1.50},\r\n'
        '\t\t"b": {\r\n\t\t\t"args": []\r\n\t\t}\r\n\t}\r\n}'
    )
    assert json_text.put('{"a":1}', ("b", "c"), [2]) == '{"a":1, "b": {"c": [2]}}'


@pytest.mark.parametrize(
    ("client", "platform", "environ", "file"),
    [
        ("claude-code", "linux", {}, "/home/me/.claude.json"),
        ("claude-code", "win32", {}, "/home/me/.claude.json"),
        ("claude-code", "darwin", {"CLAUDE_CONFIG_DIR": "/elsewhere"}, "/elsewhere/.claude.json"),
        ("claude-desktop", "linux", {}, "/home/me/.config/Claude/claude_desktop_config.json"),
        (
            "claude-desktop",
            "darwin",
            {},
            "/home/me/Library/Application Support/Claude/claude_desktop_config.json",
        ),
        ("claude-desktop", "win32", {"APPDATA": "/appdata"}, "/appdata/Claude/claude_desktop_config.json"),
        ("vscode", "linux", {"XDG_CONFIG_HOME": "/config"}, "/config/Code/User/mcp.json"),
        ("vscode", "freebsd14", {}, "/home/me/.config/Code/User/mcp.json"),
        ("vscode", "darwin", {}, "/home/me/Library/Application Support/Code/User/mcp.json"),
        ("vscode", "win32", {}, "/home/me/AppData/Roaming/Code/User/mcp.json"),
        ("cursor", "win32", {}, "/home/me/.cursor/mcp.json"),
    ],
)
def test_each_system_has_its_own_place(client: str, platform: str, environ: dict[str, str], file: str) -> None:
    assert file_of(CLIENTS[client], platform, environ, Path("/home/me")) == Path(file)


def test_the_keys_that_a_client_asks_for_are_settings() -> None:
    known = {source for field in Settings.model_fields.values() for source in sources(field)}
    assert set(KEYS) <= known


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.fixture
def cursor(home: Path) -> Path:
    """Cursor's file, with another server in it that has a secret."""
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    other = {"command": "other", "env": {"TOKEN": OTHER_SECRET}}
    file.write_text(json.dumps({"mcpServers": {"other": other}, "더": [1.50]}, indent=4, ensure_ascii=False), "utf-8")
    return file


def config(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8"))


def backups(file: Path) -> list[str]:
    return [each.read_text("utf-8") for each in sorted(file.parent.glob("*.bak"))]


def vscode_file(home: Path) -> Path:
    return file_of(CLIENTS["vscode"], sys.platform, {}, home)


def test_an_entry_is_added_renewed_and_removed_and_the_rest_stays(
    cursor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = cursor.read_text("utf-8")
    cursor.chmod(0o640)

    assert main(["--sandbox", "--region", "kr-east1", "install", "cursor", "--yes"]) == 0
    installed = config(cursor)
    entry = installed["mcpServers"].pop(NAME)
    assert installed == json.loads(old)
    assert entry["args"][-3:] == ["--sandbox", "--region", "kr-east1"]
    assert set(entry) == {"command", "args"}
    assert "No key was written" not in capsys.readouterr().out
    assert backups(cursor) == [old]
    if sys.platform != "win32":
        assert {stat.S_IMODE(file.stat().st_mode) for file in cursor.parent.iterdir()} == {0o640}

    whole = cursor.read_text("utf-8")
    assert main(["--sandbox", "--region", "kr-east1", "install", "cursor", "--yes"]) == 0
    assert (cursor.read_text("utf-8"), len(backups(cursor))) == (whole, 1)
    assert capsys.readouterr().out.endswith("nothing to change.\n")

    assert main(["uninstall", "cursor", "--yes"]) == 0
    assert cursor.read_text("utf-8") == old
    assert main(["uninstall", "cursor", "--yes"]) == 0
    assert (cursor.read_text("utf-8"), len(backups(cursor))) == (old, 2)


def test_what_a_person_added_to_the_entry_stays_and_is_not_shown(
    cursor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--sandbox", "install", "cursor", "--yes"]) == 0
    document = config(cursor)
    document["mcpServers"][NAME] |= {
        "disabled": True,
        "headers": {"a": OTHER_SECRET},
        "env": {"SCP_LANGUAGE": "ko-KR", "SCP_SECRET_KEY": SECRET},
    }
    cursor.write_text(json.dumps(document), "utf-8")

    assert main(["--read-only", "install", "cursor", "--yes"]) == 0

    entry = config(cursor)["mcpServers"][NAME]
    assert entry["args"][-1] == "--read-only"
    # A key does not stay: the default is no secret in the file.
    assert (entry["disabled"], entry["env"]) == (True, {"SCP_LANGUAGE": "ko-KR"})
    assert OTHER_SECRET not in capsys.readouterr().out


def test_vs_code_asks_for_the_keys_and_a_sandbox_needs_none(home: Path) -> None:
    file = vscode_file(home)
    assert main(["install", "vscode", "--yes"]) == 0
    document = config(file)
    assert document["servers"][NAME]["env"] == {
        "SCP_ACCESS_KEY": "${input:scp-access-key}",
        "SCP_SECRET_KEY": "${input:scp-secret-key}",
    }
    assert [(each["id"], each["type"], each["password"]) for each in document["inputs"]] == [
        ("scp-access-key", "promptString", True),
        ("scp-secret-key", "promptString", True),
    ]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert main(["uninstall", "vscode", "--yes"]) == 0
    assert config(file) == {"servers": {}, "inputs": []}
    assert main(["--sandbox", "install", "vscode", "--yes"]) == 0
    assert "env" not in config(file)["servers"][NAME]


def test_questions_of_others_stay(home: Path) -> None:
    file = vscode_file(home)
    file.parent.mkdir(parents=True)
    others = [{"id": "a", "type": "promptString"}, {"id": "b", "type": "promptString"}]
    file.write_text(json.dumps({"inputs": others, "servers": {"o": {"command": "o"}}}, indent=1), "utf-8")
    old = file.read_text("utf-8")

    assert main(["install", "vscode", "--yes"]) == 0
    assert [each["id"] for each in config(file)["inputs"]] == ["a", "b", "scp-access-key", "scp-secret-key"]
    assert main(["uninstall", "vscode", "--yes"]) == 0
    assert file.read_text("utf-8") == old


def test_keys_are_written_only_when_told_to_and_never_shown(
    cursor: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCP_ACCESS_KEY", KEY)
    monkeypatch.setenv("SCP_SECRET_KEY", SECRET)
    # In one line everything is in the difference.
    cursor.write_text(json.dumps(config(cursor)), "utf-8")

    for client in CLIENTS:
        assert main(["install", client, "--yes"]) == 0
        assert main(["install", client, "--print"]) == 0
    everywhere = "".join(file.read_text("utf-8") for file in cursor.parent.parent.rglob("*.json"))
    assert KEY not in everywhere
    assert SECRET not in everywhere

    assert main(["install", "cursor", "--yes", "--with-keys"]) == 0
    assert config(cursor)["mcpServers"][NAME]["env"] == {"SCP_ACCESS_KEY": KEY, "SCP_SECRET_KEY": SECRET}
    monkeypatch.setenv("SCP_SECRET_KEY", SECRET + "2")
    assert main(["install", "cursor", "--yes", "--with-keys"]) == 0
    assert main(["install", "cursor", "--yes"]) == 0
    assert "env" not in config(cursor)["mcpServers"][NAME]

    shown = "".join(capsys.readouterr())
    assert "only hidden values change" in shown
    assert [secret for secret in (KEY, SECRET, OTHER_SECRET) if secret in shown] == []


@pytest.mark.parametrize("client", CLIENTS)
def test_one_is_told_where_keys_go_unless_the_client_asks_for_them(
    client: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", client, "--yes"]) == 0
    told = "put access-key and secret-key into ~/.scpconf/credentials.json" in capsys.readouterr().out
    assert told is (client != "vscode")


def test_keys_that_are_not_set_cannot_be_written(cursor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = cursor.read_bytes()
    assert main(["install", "cursor", "--yes", "--with-keys"]) == 2
    assert (cursor.read_bytes(), capsys.readouterr().err.count("not set")) == (old, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{\n  // mine\n  "mcpServers": {}\n}', "has comments"),
        ('{"mcpServers": {"a": 1},}', "is not valid JSON (line 1)"),
        ('{"mcpServers": ', "is not valid JSON"),
        ('{"u": "http://a", "mcpServers": ', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "does not hold a JSON object"),
        ('{"mcpServers": []}', "mcpServers is not what Cursor reads"),
        ('{"mcpServers": null}', "mcpServers is not what Cursor reads"),
        ('{"mcpServers": {"aimlops": {"command": "theirs"}}}', "has another server named aimlops"),
        ('{"mcpServers": {}, "mcpServers": {"a": 1}}', "cannot be changed safely"),
        (b'{"a": "\xff"}', "is not UTF-8 text"),
    ],
)
def test_what_is_not_understood_is_left_as_it_is(
    cursor: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, why: str
) -> None:
    raw = text.encode() if isinstance(text, str) else text
    cursor.write_bytes(raw)

    assert main(["--sandbox", "install", "cursor", "--yes"]) == 2

    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
    assert (cursor.read_bytes(), backups(cursor)) == (raw, [])


def test_a_file_with_comments_gets_the_entry_printed_to_paste(cursor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cursor.write_text("{ /* mine */ }", "utf-8")
    assert main(["--sandbox", "install", "cursor", "--yes"]) == 2
    printed = json.loads(capsys.readouterr().out)
    assert main(["--sandbox", "install", "cursor", "--print"]) == 0
    again = capsys.readouterr()
    assert (json.loads(again.out), again.err) == (printed, f"scp-aimlops-mcp: this belongs into {cursor}\n")
    assert list(printed["mcpServers"]) == [NAME]


def test_without_a_terminal_nothing_is_written(cursor: Path) -> None:
    old = cursor.read_bytes()
    process = subprocess.run(
        [sys.executable, "-m", "aimlops_server", "--sandbox", "install", "cursor"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        encoding="utf-8",
    )
    assert process.returncode == 2
    assert process.stderr == (
        "scp-aimlops-mcp: nothing was written: there is no terminal to ask in. Give --yes if you mean it\n"
    )
    assert (cursor.read_bytes(), backups(cursor)) == (old, [])


@needs_terminal
@pytest.mark.parametrize(
    ("answer", "meanwhile", "code", "written"),
    [(b"y\n", False, 0, True), (b"n\n", False, 2, False), (b"\n", False, 2, False), (b"y\n", True, 2, False)],
)
def test_a_person_decides_about_the_file_they_saw(
    cursor: Path, answer: bytes, meanwhile: bool, code: int, written: bool
) -> None:
    controller, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "aimlops_server", "--sandbox", "install", "cursor"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(terminal)
        assert process.stdout
        shown = b""
        while not shown.endswith(b"[y/N] "):
            shown += process.stdout.read(1) or pytest.fail(shown.decode())
        if meanwhile:
            cursor.write_text('{"mcpServers": {}}', "utf-8")
        os.write(controller, answer)
        process.communicate(timeout=LIMIT_S)
    os.close(controller)

    assert process.returncode == code
    assert (NAME in config(cursor)["mcpServers"]) is written
    assert len(backups(cursor)) == written


@needs_terminal
def test_a_link_stays_a_link(cursor: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    cursor.replace(real)
    cursor.symlink_to(real)
    assert main(["--sandbox", "install", "cursor", "--yes"]) == 0
    assert cursor.is_symlink()
    assert NAME in config(real)["mcpServers"]


def test_a_project_has_its_own_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    for client in ("claude-code", "vscode", "cursor"):
        assert main(["--sandbox", "install", client, "--project", "--yes"]) == 0
    made = {file.relative_to(home).as_posix() for file in home.rglob("*.json")}
    assert made == {".mcp.json", ".vscode/mcp.json", ".cursor/mcp.json"}
    assert main(["install", "claude-desktop", "--project", "--yes"]) == 2
    assert "no configuration per project" in capsys.readouterr().err


def test_keys_are_not_written_into_a_project(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("SCP_ACCESS_KEY", KEY)
    monkeypatch.setenv("SCP_SECRET_KEY", SECRET)
    assert main(["install", "cursor", "--project", "--with-keys", "--yes"]) == 2
    assert list(home.iterdir()) == []


def test_a_program_in_uvs_cache_is_not_set_up(
    cursor: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = cursor.read_bytes()
    monkeypatch.setattr(sys, "prefix", "/home/me/.cache/uv/archive-v0/AbC")
    assert main(["install", "cursor", "--yes"]) == 2
    assert (cursor.read_bytes(), "uv tool install" in capsys.readouterr().err) == (old, True)


@pytest.mark.anyio
@pytest.mark.parametrize("client", ["claude-code", "vscode"])
async def test_what_is_written_starts_the_server(client: str, home: Path) -> None:
    assert main(["--sandbox", "--read-only", "install", client, "--yes"]) == 0
    file = file_of(CLIENTS[client], sys.platform, {}, home)
    entry = config(file)[CLIENTS[client].servers][NAME]
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env=entry.get("env"))
    with anyio.fail_after(LIMIT_S):
        async with Client(server) as session:
            listed = await session.list_tools()
    assert {"list_platforms", "delete_platform"} & {tool.name for tool in listed.tools} == {"list_platforms"}


def test_the_line_for_claude_code_quotes_what_a_shell_would_change() -> None:
    assert claude_code_line(published("https://host/a b", sandbox=True)) == (
        "claude mcp add --scope user aimlops -- uvx --from 'git+https://host/a b' scp-aimlops-mcp --sandbox"
    )
