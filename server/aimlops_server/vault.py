"""Secrets by reference: the one place where a reference becomes a value, and where a typed one waits for its request.

A reference is `env:SCP_MCP_SECRET_<NAME>` or `file:<name>` inside SCP_MCP_SECRETS_DIR. A value is never written,
logged or compared; it goes into the outgoing body and nowhere else.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
from pydantic import SecretStr

from aimlops_server.errors import InvalidArguments

MAX_SECRET_BYTES = 4096
_CORRECT = "ask the user to set it up; never ask for a secret in the chat"


class Vault:
    """Resolves references, and keeps what a person typed on the approval page, in memory, until it is sent."""

    def __init__(self, environment: Mapping[str, str], directory: Path | None) -> None:
        self._environment = environment
        self._directory = directory
        self._typed: dict[str, SecretStr] = {}

    async def resolve(self, references: Sequence[str]) -> dict[str, SecretStr]:
        """The values of references.

        Raises:
            InvalidArguments: one cannot be resolved; names the reference and what to set, never a value.
        """
        return {reference: await self._value(reference) for reference in references}

    def keep_typed(self, plan_id: str, value: SecretStr) -> None:
        """Keep what a person typed for a plan."""
        self._typed[plan_id] = value

    def take_typed(self, plan_id: str) -> SecretStr | None:
        """Hand over what was typed for a plan, once."""
        return self._typed.pop(plan_id, None)

    async def _value(self, reference: str) -> SecretStr:
        kind, _, name = reference.partition(":")
        if kind == "env":
            value = self._environment.get(name)
            if not value:
                raise InvalidArguments(f"{reference}: the variable {name} is not set in this server.", _CORRECT)
            return SecretStr(value)
        if self._directory is None:
            raise InvalidArguments(f"{reference}: SCP_MCP_SECRETS_DIR is not set in this server.", _CORRECT)
        return SecretStr(await anyio.to_thread.run_sync(_read, self._directory, name, reference))


def _read(directory: Path, name: str, reference: str) -> str:
    """The file's text without its line end. The file must be a plain one that nobody else can read."""
    path = directory / name
    try:
        # Opened without following a link, then judged by what was opened: nothing can be swapped in between.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise InvalidArguments(f"{reference}: cannot be read ({error.strerror}).", _CORRECT) from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise InvalidArguments(f"{reference}: is not a plain file.", _CORRECT)
        # Windows has no such mode bits; there the directory's own permissions protect the file.
        if os.name == "posix" and about.st_mode & 0o077:
            raise InvalidArguments(f"{reference}: others can read it; its mode must be 0600.", _CORRECT)
        content = os.read(descriptor, MAX_SECRET_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidArguments(f"{reference}: is not UTF-8 text.", _CORRECT) from None
    if not text or len(content) > MAX_SECRET_BYTES:
        raise InvalidArguments(f"{reference}: must hold 1 to {MAX_SECRET_BYTES} bytes.", _CORRECT)
    return text
