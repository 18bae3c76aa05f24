"""The README says what is so: its tables are generated, its names exist."""

import json
import re
import tomllib
from pathlib import Path

from aimlops_prompts import PROMPTS
from aimlops_server import __main__ as command_line
from aimlops_server.settings import Settings, sources

from tests.generate import README, readme

ROOT = README.parent


def test_the_generated_tables_are_fresh() -> None:
    """`make docs` renews them."""
    text = README.read_text("utf-8")
    assert readme(text) == text


def test_every_client_configuration_is_valid_json_and_runs_this_command() -> None:
    text = README.read_text("utf-8")
    blocks: list[dict[str, dict[str, dict[str, str]]]] = [
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    ]
    servers = [
        server for block in blocks for key in ("mcpServers", "servers") for server in block.get(key, {}).values()
    ]
    commands = [server["command"] for server in servers]
    assert len(commands) >= 4
    assert set(commands) == {"uvx", "/path/to/scp-aimlops-mcp/.venv/bin/scp-aimlops-mcp"}


def test_every_option_in_the_readme_exists_and_every_prompt_is_named() -> None:
    text = README.read_text("utf-8")
    declared = set(re.findall(r'"(--[a-z-]+)"', Path(command_line.__file__).read_text("utf-8")))
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--env", "--from", "--scope"}
    assert options - declared == set()
    assert {name for name in PROMPTS if f"`{name}`" not in text} == set()


def test_every_variable_in_the_readme_is_a_setting() -> None:
    named = set(re.findall(r"\bSCP_[A-Z_]+\b", README.read_text("utf-8")))
    known = {source for field in Settings.model_fields.values() for source in sources(field)}
    assert named - {"SCP_MCP_SECRET_"} <= known


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs" / "threat-model.md").read_text("utf-8"))
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
