"""How to install from where the source is published: links for a browser, and a line for a terminal."""

import base64
import json
import shlex
from urllib.parse import quote, urlencode

from aimlops_server.install.clients import CLIENTS, NAME, Launch, entry_of, prompts


def published(repository: str, *, sandbox: bool) -> Launch:
    """Runs the newest source of a Git repository."""
    return Launch("uvx", ("--from", f"git+{repository}", "scp-aimlops-mcp", *(("--sandbox",) if sandbox else ())))


def vscode_link(launch: Launch, *, ask: bool) -> str:
    """Opens VS Code, which shows the entry and adds it; with `ask` it will ask for the keys."""
    env, inputs = prompts() if ask else ({}, [])
    parameters = {"name": NAME, "config": json.dumps(entry_of(CLIENTS["vscode"], launch, env))}
    if inputs:
        parameters["inputs"] = json.dumps(inputs)
    return f"https://insiders.vscode.dev/redirect/mcp/install?{urlencode(parameters, quote_via=quote)}"


def cursor_link(launch: Launch) -> str:
    """Opens Cursor, which shows the entry and adds it."""
    config = json.dumps(entry_of(CLIENTS["cursor"], launch, {})).encode()
    return "https://cursor.com/install-mcp?" + urlencode({"name": NAME, "config": base64.b64encode(config).decode()})


def claude_code_line(launch: Launch) -> str:
    """The command that adds the server for this user."""
    return shlex.join(["claude", "mcp", "add", "--scope", "user", NAME, "--", launch.command, *launch.args])
