"""The command line explains itself: help with examples, versions, settings and completion."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from aimlops_server import __main__ as command_line
from aimlops_server.install.clients import CLIENTS
from aimlops_server.settings import Settings, sources
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

from tests.command_lines import EXAMPLES, PARSERS, PROGRAM, actions, examples, parse

LIMIT_S = 20


@pytest.mark.parametrize("name", PARSERS)
def test_every_command_has_examples_that_are_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main([*name.split(), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.partition(EXAMPLES)[2].strip().splitlines()
    assert shown == examples(PARSERS[name]) != []
    for example in shown:
        program, *words = example.split("   ")[0].split(" > ")[0].split()
        assert program == PROGRAM
        options = parse(words)
        assert (options.command or "") == name.split(" ")[0] or not name


def test_the_clients_are_those_that_can_be_set_up() -> None:
    for name in ("install", "uninstall"):
        offered = next(a.choices for a in actions(PARSERS[name]) if a.dest == "client")
        assert list(offered or ()) == list(CLIENTS)


def test_the_version_names_the_sdk_and_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr() == (
        f"scp-aimlops-mcp {version('scp-aimlops-mcp')}\n"
        f"MCP SDK {version('mcp')}\n"
        f"MCP protocol {', '.join(KNOWN_PROTOCOL_VERSIONS)}\n",
        "",
    )


def test_every_setting_is_listed_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == [", ".join(sources(field)) for field in Settings.model_fields.values()]
    assert lines[1::2][list(Settings.model_fields).index("region")] == "    Region (default: kr-west1)"
    assert lines[1::2][list(Settings.model_fields).index("language")].endswith("(default: en-US)")


def test_a_flag_is_explained_as_its_setting_is() -> None:
    """All settings have the one table; these six have a flag, too."""
    flags = {a.dest: a.help for a in actions(PARSERS[""]) if a.dest in Settings.model_fields}
    assert flags == {name: Settings.model_fields[name].description for name in flags}
    assert set(flags) == {"region", "environment", "account_id", "endpoint", "api_version", "read_only"}


def test_a_malformed_setting_does_not_stop_what_explains_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCP_API_VERSION", "9")
    assert command_line.main(["settings"]) == 0
    assert command_line.main(["uninstall", "cursor"]) == 0
    assert command_line.main(["install", "cursor", "--yes"]) == 2
    assert capsys.readouterr().err.startswith("scp-aimlops-mcp: SCP_API_VERSION")


def completion(shell: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "aimlops_server", "completion", shell],
        capture_output=True,
        check=True,
        timeout=LIMIT_S,
        encoding="utf-8",
    ).stdout


BASH = r"""
source "$1"
COMP_WORDS=(scp-aimlops-mcp install c)
COMP_CWORD=2
$(complete -p scp-aimlops-mcp | sed 's/.*-F \([^ ]*\).*/\1/')
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(
    not shutil.which("bash") or sys.platform == "win32", reason="bash is not installed, or is another system's"
)
def test_bash_completes_the_clients(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(completion("bash"), "utf-8")
    process = subprocess.run(
        ["bash", "-c", BASH, "bash", script], capture_output=True, check=True, timeout=LIMIT_S, encoding="utf-8"
    )
    assert process.stdout.split() == ["claude-code", "claude-desktop", "cursor"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_are_told_every_command(shell: str) -> None:
    script = completion(shell)
    commands = {name for name in PARSERS if name and " " not in name}
    assert {name for name in commands if name not in script} == set()


FISH = """
source $argv[1]
complete --do-complete 'scp-aimlops-mcp install c'
"""


@pytest.mark.skipif(not shutil.which("fish") and "CI" not in os.environ, reason="fish is not installed")
def test_fish_completes_the_clients(tmp_path: Path) -> None:
    script = tmp_path / "completion.fish"
    script.write_text(completion("fish"), "utf-8")
    process = subprocess.run(
        ["fish", "--no-config", "-c", FISH, script], capture_output=True, check=True, timeout=LIMIT_S, encoding="utf-8"
    )
    assert [line.split("\t")[0] for line in process.stdout.splitlines()] == ["claude-code", "claude-desktop", "cursor"]


@pytest.mark.skipif(not shutil.which("zsh") and "CI" not in os.environ, reason="zsh is not installed")
def test_zsh_takes_the_script() -> None:
    subprocess.run(["zsh", "-n"], input=completion("zsh"), check=True, timeout=LIMIT_S, encoding="utf-8")
