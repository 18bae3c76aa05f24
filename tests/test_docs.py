"""The documents say what is so: what is generated is fresh, what they name exists, what they tell to run runs."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from aimlops_prompts import PROMPTS
from aimlops_server import __main__ as command_line
from aimlops_server.errors import AimlopsError
from aimlops_server.sandbox.faults import FaultKind
from aimlops_server.sandbox.faults import parse as parse_fault
from aimlops_server.settings import Settings, sources
from aimlops_server.tool import offered_tools

from tests.command_lines import PARSERS, PROGRAM, actions, parse
from tests.generate import README, REFERENCE, readme
from tests.reference import reference

ROOT = README.parent
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
HOW_TO = DOCS / "how-to.md"
EXPLANATION = DOCS / "explanation.md"
# What is written for a user, and by hand.
GUIDES = [README, TUTORIAL, HOW_TO, EXPLANATION]
DOCUMENTS = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
LIMIT_S = 60
# The names that the guides give to secrets, and the start of every such name.
SECRETS = {"SCP_MCP_SECRET_", "SCP_MCP_SECRET_DEMO", "SCP_MCP_SECRET_FIRST_USER"}
OPTIONS_OF_OTHERS = {"--env", "--from", "--scope"}
WORDS_OF_FAULTS = {*FaultKind, "retry_after"}


def name_of(path: Path) -> str:
    return path.name


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """The lines that a reader is told to type, without their comments."""
    for block in blocks(text, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield line.removeprefix("$ ").partition("  #")[0].strip()


def our_calls(text: str) -> Iterator[list[str]]:
    """The arguments of every call of the program, in blocks and in sentences."""
    inline = re.findall(
        r"`((?:[A-Z_]+=\S* )*scp-aimlops-mcp [^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    )
    for line in (*commands(text), *inline):
        for part in re.split(r"&&|\||>|;", line):
            words = shlex.split(part.replace("…", "X").replace("[PLAN]", ""))
            if PROGRAM in words and words[0] != "cd":  # ssh and docker may stand before it
                yield words[words.index(PROGRAM) + 1 :]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)}


def test_what_is_generated_is_fresh() -> None:
    """`make docs` renews it."""
    text = README.read_text("utf-8")
    assert readme(text) == text
    assert REFERENCE.read_text("utf-8") == reference()


def test_the_reference_has_every_tool_setting_error_prompt_and_command() -> None:
    text = REFERENCE.read_text("utf-8")
    headings = {*offered_tools(read_only=False), *PROMPTS, *(f"{PROGRAM} {words}".strip() for words in PARSERS)}
    settings = {source for field in Settings.model_fields.values() for source in sources(field)}
    errors = {error.__name__ for error in AimlopsError.__subclasses__()}
    assert {name for name in headings if f"\n### {name}\n" not in text} == set()
    assert {name for name in settings | errors if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_between_documents_resolves(document: Path) -> None:
    broken = [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8"))
        if not link.startswith(("http:", "https:")) and not resolves(document, link)
    ]
    assert broken == []


def resolves(document: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    path = document.parent / file if file else document
    return path.exists() and (not anchor or anchor in anchors(path))


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_every_command_in_a_guide_is_understood(document: Path) -> None:
    text = document.read_text("utf-8")
    for words in our_calls(text):
        options = parse(words)
        for fault in getattr(options, "fault", []):
            parse_fault(fault)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", " ".join(commands(text)))) <= targets


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_every_name_in_a_guide_exists(document: Path) -> None:
    """Tools, their arguments, prompts, settings, options and resources, wherever they stand in code."""
    text = document.read_text("utf-8")
    settings = {source for field in Settings.model_fields.values() for source in sources(field)}
    variables = set(re.findall(r"\bSCP_[A-Z_]+\b", text))
    assert variables - settings - SECRETS == set()

    options = {option for parser in PARSERS.values() for action in actions(parser) for option in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert named - options - OPTIONS_OF_OTHERS == set()

    words = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)\b(?!\.json)[^`]*`", text))
    known = {*offered_tools(read_only=False), *PROMPTS, *fields_of_tools(), *WORDS_OF_FAULTS}
    assert words - known == set()

    addresses = set(re.findall(r"aimlops://[^`\s]+", text))
    assert addresses <= set(re.findall(r"aimlops://[^`\s]+", REFERENCE.read_text("utf-8")))


def fields_of_tools() -> set[str]:
    first_cells = re.findall(r"^\| `([^`]+)`", REFERENCE.read_text("utf-8"), re.MULTILINE)
    return set(re.findall(r"\w+", " ".join(first_cells)))


def test_the_readme_names_every_prompt() -> None:
    text = README.read_text("utf-8")
    assert {name for name in PROMPTS if f"`{name}`" not in text} == set()


def test_every_client_configuration_is_valid_json_and_runs_this_command() -> None:
    found: list[dict[str, dict[str, dict[str, str]]]] = [
        json.loads(block) for guide in GUIDES for block in blocks(guide.read_text("utf-8"), "json")
    ]
    servers = [server for block in found for key in ("mcpServers", "servers") for server in block.get(key, {}).values()]
    commands = [server["command"] for server in servers]
    assert len(commands) >= 2
    assert set(commands) <= {"uvx", "/path/to/scp-aimlops-mcp/.venv/bin/scp-aimlops-mcp"}


def test_the_commands_of_the_tutorial_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that need no terminal; what installs is only printed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SCP_MCP_STATE_DIR", str(tmp_path / "state"))
    ran = [words for words in our_calls(TUTORIAL.read_text("utf-8")) if "approve" not in words]
    codes = [command_line.main([*words, "--print"] if "install" in words else words) for words in ran]
    assert [words[-1] for words in ran] == ["claude-code", "check", "show", "verify", "claude-code"]
    assert codes == [0] * len(ran), capsys.readouterr().err


def test_the_client_in_the_tutorial_plays_the_story(tmp_path: Path) -> None:
    text = TUTORIAL.read_text("utf-8")
    (program,) = blocks(text, "python")
    (lines,) = [block for block in blocks(text, "text") if block.startswith("find_options {")]
    # Faster than the reader's, so that nobody waits for the sandbox.
    faster = program.replace('"--sandbox"', '"--sandbox", "--speed", "6000"')
    assert faster != program
    (tmp_path / "play.py").write_text(faster, "utf-8")
    played = subprocess.run(
        [sys.executable, "play.py"],
        input=lines + "\n",
        capture_output=True,
        cwd=tmp_path,
        timeout=LIMIT_S,
        encoding="utf-8",
        env={
            **os.environ,
            "SCP_MCP_STATE_DIR": str(tmp_path / "state"),
            "SCP_MCP_SECRET_FIRST_USER": "only-for-the-sandbox-1",
            "PYTHONIOENCODING": "utf-8",
        },
    )
    assert played.returncode == 0, played.stderr
    told = re.findall(
        r"free-cluster|\"fraud-detection\\\" is taken|the cluster is too small|is (?:CREATING|DELETING)|"
        r'"state":"DEPLOYED"|is FAILED|is not the platform\'s exact name',
        played.stdout,
    )
    assert [word for place, word in enumerate(told) if word not in told[:place]] == [
        "free-cluster",
        '"fraud-detection\\" is taken',
        "the cluster is too small",
        "is CREATING",
        '"state":"DEPLOYED"',
        "is FAILED",
        "is not the platform's exact name",
        "is DELETING",
    ]


def test_the_picture_names_what_exists() -> None:
    (picture,) = blocks(EXPLANATION.read_text("utf-8"), "mermaid")
    modules = re.findall(r'\["([\w./]+)<br>', picture)
    package = ROOT / "server" / "aimlops_server"
    assert len(modules) >= 8
    assert [module for module in modules if not (package / module).exists()] == []


def test_the_how_to_names_every_fault_of_the_sandbox() -> None:
    table = HOW_TO.read_text("utf-8").partition("| kind | what happens |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)(?:=\w+)?`", table)) == set(FaultKind)


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", (DOCS / "threat-model.md").read_text("utf-8"))
    missing = [
        (file, test)
        for file, test in named
        if not (ROOT / "tests" / file).exists() or f"def {test}" not in (ROOT / "tests" / file).read_text("utf-8")
    ]
    assert len(named) > 15
    assert missing == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    wanted: list[str] = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    names = {re.split(r"[<>=\[]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in constraints.splitlines()}
    assert names <= pinned
