"""References to secrets: what they may name, and that a value never shows."""

import os
from pathlib import Path

import pytest
from aimlops_server.errors import InvalidArguments
from aimlops_server.vault import Vault
from pydantic import SecretStr

pytestmark = pytest.mark.anyio

VALUE = "canary-value-3Kd"
CANNOT = "ask the user to set it up; never ask for a secret in the chat"
needs_modes = pytest.mark.skipif(os.name != "posix", reason="Windows has no such mode bits")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path / "good", VALUE)
    return tmp_path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text, "utf-8")
    path.chmod(mode)


async def problem(vault: Vault, reference: str) -> str:
    with pytest.raises(InvalidArguments) as refused:
        await vault.resolve([reference])
    assert refused.value.next_step == CANNOT
    assert VALUE not in str(refused.value)
    return refused.value.happened


@pytest.mark.parametrize("text", [VALUE, f"{VALUE}\n", f"{VALUE}\r\n"])
async def test_a_file_is_its_text_without_the_line_end(directory: Path, text: str) -> None:
    write(directory / "good", text)
    resolved = await Vault({}, directory).resolve(["file:good"])
    assert resolved == {"file:good": SecretStr(VALUE)}
    assert VALUE not in repr(resolved)


async def test_a_variable_is_its_value() -> None:
    vault = Vault({"SCP_MCP_SECRET_A": VALUE}, None)
    assert await vault.resolve(["env:SCP_MCP_SECRET_A"]) == {"env:SCP_MCP_SECRET_A": SecretStr(VALUE)}


async def test_what_is_not_there_is_named() -> None:
    vault = Vault({"SCP_MCP_SECRET_EMPTY": ""}, None)
    said = [await problem(vault, f"env:SCP_MCP_SECRET_{name}") for name in ("A", "EMPTY")]
    assert said == [
        f"env:SCP_MCP_SECRET_{name}: the variable SCP_MCP_SECRET_{name} is not set in this server."
        for name in ("A", "EMPTY")
    ]
    assert await problem(vault, "file:a") == "file:a: SCP_MCP_SECRETS_DIR is not set in this server."


async def test_a_missing_empty_huge_or_binary_file_is_refused(directory: Path) -> None:
    vault = Vault({}, directory)
    write(directory / "empty", "\n")
    write(directory / "huge", "x" * 5000)
    (directory / "binary").write_bytes(b"\xff\xfe")
    (directory / "binary").chmod(0o600)
    said = {name: await problem(vault, f"file:{name}") for name in ("none", "empty", "huge", "binary")}
    assert said == {
        "none": "file:none: cannot be read (No such file or directory).",
        "empty": "file:empty: must hold 1 to 4096 bytes.",
        "huge": "file:huge: must hold 1 to 4096 bytes.",
        "binary": "file:binary: is not UTF-8 text.",
    }


@needs_modes
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o777])
async def test_a_file_that_others_can_touch_is_refused(directory: Path, mode: int) -> None:
    write(directory / "open", VALUE, mode)
    said = await problem(Vault({}, directory), "file:open")
    assert said == "file:open: others can read it; its mode must be 0600."


@needs_modes
async def test_links_directories_and_pipes_are_refused(directory: Path) -> None:
    (directory / "link").symlink_to(directory / "good")
    (directory / "folder").mkdir(mode=0o700)
    os.mkfifo(directory / "pipe", 0o600)
    vault = Vault({}, directory)
    assert (await problem(vault, "file:link")).startswith("file:link: cannot be read (")
    assert await problem(vault, "file:folder") == "file:folder: is not a plain file."
    assert await problem(vault, "file:pipe") == "file:pipe: is not a plain file."


async def test_what_was_typed_is_handed_over_once() -> None:
    vault = Vault({}, None)
    vault.keep_typed("plan", SecretStr(VALUE))
    assert vault.take_typed("plan") == SecretStr(VALUE)
    assert vault.take_typed("plan") is None
    assert VALUE not in repr(vars(vault))
