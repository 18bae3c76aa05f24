"""Imports go one way: tools <- server -> prompts; the sandbox and the client know nothing of each other."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"aimlops_tools": "tools", "aimlops_prompts": "prompts", "aimlops_server": "server"}
ALLOWED = {
    "aimlops_tools": {"aimlops_tools", "pydantic"},
    "aimlops_prompts": {"aimlops_prompts"},
}


def imports(file: Path) -> set[str]:
    """Every module name that a file imports, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / FOLDERS[package] / package).rglob("*.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_its_layer_may(package: str) -> None:
    roots = {name.split(".")[0] for file in files(package) for name in imports(file)}
    assert roots - sys.stdlib_module_names <= ALLOWED[package]


def test_the_sandbox_knows_nothing_of_the_server_around_it() -> None:
    own = ("aimlops_server.sandbox", "aimlops_tools")
    sandbox = [file for file in files("aimlops_server") if "sandbox" in file.parts]
    foreign = {n for f in sandbox for n in imports(f) if n.startswith("aimlops_") and not n.startswith(own)}
    assert len(sandbox) > 5
    assert foreign == set()


def test_only_the_composition_root_knows_the_sandbox() -> None:
    """The demo runs it as a process of its own."""
    knowing = {
        file.name
        for file in files("aimlops_server")
        if "sandbox" not in file.parts and any(n.startswith("aimlops_server.sandbox") for n in imports(file))
    }
    assert knowing == {"app.py"}


def test_only_the_client_and_the_composition_root_speak_http() -> None:
    speaking = {
        file.relative_to(ROOT / "server/aimlops_server").as_posix()
        for file in files("aimlops_server")
        if any(name.split(".")[0] == "httpx2" for name in imports(file))
    }
    assert speaking == {"app.py", "client.py", "sandbox/transport.py"}


def test_no_file_names_a_package_registry_or_another_project_folder() -> None:
    names = ("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org")
    hosts = (*map(".".join, names), "/".join(("..", "shared")))
    naming = {f.name for f in _own(ROOT) if any(h in f.read_text("utf-8", "replace") for h in hosts)}
    assert naming == set()


def _own(directory: Path) -> Iterator[Path]:
    """The files of the project, without what is made from them or installed beside them."""
    for each in directory.iterdir():
        if each.is_file():
            yield each
        elif each.name not in _MADE and not each.name.endswith("_cache"):
            yield from _own(each)


_MADE = {".git", ".venv", ".peers", ".hypothesis", "__pycache__", "dist"}
