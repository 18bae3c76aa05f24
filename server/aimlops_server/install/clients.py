"""What each client wants: where its configuration is and how an entry looks in it. Data and pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

NAME = "aimlops"
"""The server's name in every client."""

KEYS = {"SCP_ACCESS_KEY": "SCP access key", "SCP_SECRET_KEY": "SCP secret key"}
"""The variables that hold secrets a client can ask for, and what it asks."""


@dataclass(frozen=True, slots=True)
class Launch:
    """The command that a client starts the server with."""

    command: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """One client. The files' `{home}`, `{config}` and `{claude}` differ by system and user, see `file_of`."""

    title: str
    user_file: str
    project_file: str | None
    """Relative to the project's directory; None: it has no configuration per project."""
    servers: str
    """The member of the file that holds the servers."""
    typed: bool = False
    """An entry says which transport it is for."""
    asks: bool = False
    """The client asks for secrets itself and keeps them, by the `inputs` of its file."""


CLIENTS: Mapping[str, Client] = {
    # https://code.claude.com/docs/en/mcp: user scope and project scope
    "claude-code": Client("Claude Code", "{claude}/.claude.json", ".mcp.json", "mcpServers", typed=True),
    # https://modelcontextprotocol.io/docs/develop/connect-local-servers
    "claude-desktop": Client("Claude Desktop", "{config}/Claude/claude_desktop_config.json", None, "mcpServers"),
    # https://code.visualstudio.com/docs/copilot/reference/mcp-configuration
    "vscode": Client("VS Code", "{config}/Code/User/mcp.json", ".vscode/mcp.json", "servers", typed=True, asks=True),
    # https://cursor.com/docs/mcp
    "cursor": Client("Cursor", "{home}/.cursor/mcp.json", ".cursor/mcp.json", "mcpServers"),
}

# Where a desktop program keeps its configuration: the variable that says so, else this under the home directory.
_CONFIG: Mapping[str, tuple[str, str]] = {
    "linux": ("XDG_CONFIG_HOME", ".config"),
    "darwin": ("", "Library/Application Support"),
    "win32": ("APPDATA", "AppData/Roaming"),
}


def file_of(client: Client, platform: str, environ: Mapping[str, str], home: Path) -> Path:
    """The client's file for this user, on a `sys.platform`; every other Unix is like Linux."""
    variable, under_home = _CONFIG.get(platform, _CONFIG["linux"])
    return Path(
        client.user_file.format(
            home=home,
            config=environ.get(variable) or home / under_home,
            claude=environ.get("CLAUDE_CONFIG_DIR") or home,
        )
    )


def entry_of(client: Client, launch: Launch, env: Mapping[str, str]) -> dict[str, JsonValue]:
    """The client's entry for a server."""
    return {
        **({"type": "stdio"} if client.typed else {}),
        "command": launch.command,
        "args": list(launch.args),
        **({"env": dict(env)} if env else {}),
    }


def prompts() -> tuple[dict[str, str], list[dict[str, JsonValue]]]:
    """For a client that asks: the environment that refers to the answers, and the questions."""
    ids = {variable: variable.lower().replace("_", "-") for variable in KEYS}
    env = {variable: f"${{input:{ids[variable]}}}" for variable in KEYS}
    inputs: list[dict[str, JsonValue]] = [
        {
            "id": ids[variable],
            "type": "promptString",
            "description": f"{question} (empty: from ~/.scpconf/credentials.json)",
            "password": True,
        }
        for variable, question in KEYS.items()
    ]
    return env, inputs
