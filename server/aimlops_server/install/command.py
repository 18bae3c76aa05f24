"""`scp-aimlops-mcp install CLIENT` and `uninstall CLIENT`: one entry in the client's own file, and nothing else.

The change is shown before it is made; values that are not ours are not shown, they may be secret.
"""

import difflib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO, cast

from pydantic import JsonValue

from aimlops_server.errors import ConfigurationError
from aimlops_server.install import json_text
from aimlops_server.install.clients import CLIENTS, KEYS, NAME, Client, Launch, entry_of, file_of, prompts

PROGRAM = "scp-aimlops-mcp"
HIDDEN = "•••"

_Object = dict[str, JsonValue]
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?')
_COMMENT = re.compile(r"//|/\*")


@dataclass(frozen=True, slots=True)
class Place:
    """A client, and the file of it that is meant."""

    client: Client
    file: Path


def place(client: str, *, project: bool, keys: bool) -> Place:
    """The user's file, or the one of the project in this directory. `keys`: they are to be written into it.

    Raises:
        ConfigurationError: this client has none per project, or keys would get into a project.
    """
    chosen = CLIENTS[client]
    if not project:
        return Place(chosen, file_of(chosen, sys.platform, os.environ, Path.home()))
    if keys:
        raise _refusal("A project's files are shared: no key is written there. Leave --project or --with-keys out")
    if chosen.project_file is None:
        raise _refusal(f"{chosen.title} has no configuration per project: leave --project out")
    return Place(chosen, Path.cwd() / chosen.project_file)


def this_program(arguments: Sequence[str]) -> Launch:
    """What starts this very installation again.

    Raises:
        ConfigurationError: it runs from uv's cache, which uv may empty at any time.
    """
    if any(re.fullmatch(r"(archive|environments)-v\d+", part) for part in Path(sys.prefix).parts):
        raise _refusal(
            "This runs from uv's cache, which is not a place to stay. Install it with 'uv tool install', then run "
            f"{PROGRAM} install again"
        )
    script = Path(sys.executable).with_name(PROGRAM + (".exe" if sys.platform == "win32" else ""))
    if script.exists():
        return Launch(str(script), tuple(arguments))
    return Launch(sys.executable, ("-m", "aimlops_server", *arguments))


def snippet(at: Place, launch: Launch, keys: Mapping[str, str] | None) -> str:
    """What `install` would put into an empty file. `keys`: the client is asked for them, or None: it needs none."""
    document: _Object = {}
    for path, value in _installed(at.client, document, launch, keys):
        _put(document, path, value)
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def install(at: Place, launch: Launch, keys: Mapping[str, str] | None, out: TextIO, *, yes: bool) -> None:
    """Add or renew the entry. `keys` are written into it as they are; without them the client asks or the server looks.

    Raises:
        ConfigurationError: the file cannot be changed safely, or nobody said yes; nothing was written.
    """
    old = _read(at.file)
    try:
        document = _document(at, old)
    except ConfigurationError:
        if not keys:
            out.write(snippet(at, launch, keys))
        raise
    new = old if old.strip() else "{}\n"
    for path, value in _installed(at.client, document, launch, keys):
        _put(document, path, value)
        new = json_text.put(new, path, value)
    _finish(at, old, new, document, out, yes=yes)
    if keys is not None and not keys and not at.client.asks:
        out.write("No key was written: put access-key and secret-key into ~/.scpconf/credentials.json.\n")


def uninstall(at: Place, out: TextIO, *, yes: bool) -> None:
    """Remove what `install` added, and nothing else.

    Raises:
        ConfigurationError: the file cannot be changed safely, or nobody said yes; nothing was written.
    """
    new = old = _read(at.file)
    document = _document(at, old)
    for path in _ours(at.client, document):
        _remove(document, path)
        new = json_text.remove(new, path)
    _finish(at, old, new, document, out, yes=yes)


def _installed(
    client: Client, document: _Object, launch: Launch, keys: Mapping[str, str] | None
) -> list[tuple[json_text.Path, JsonValue]]:
    """What to put where."""
    env, inputs = prompts() if client.asks and keys is not None and not keys else (keys or {}, [])
    entry: _Object = entry_of(client, launch, env)
    old = _servers(client, document).get(NAME)
    if isinstance(old, dict):
        kept = old.get("env")
        # A key that an earlier setup wrote goes, unless this one writes it: the default is no secret in the file.
        kept = {k: v for k, v in kept.items() if k not in KEYS} if isinstance(kept, dict) else {}
        kept.update(env)
        entry = {**{k: v for k, v in old.items() if k != "env"}, **entry}
        if kept:
            entry["env"] = kept
    present = _inputs(document)
    ids = [item.get("id") for item in present if isinstance(item, dict)]
    new = [item for item in inputs if item["id"] not in ids]
    return [
        ((client.servers, NAME), entry),
        *((("inputs", len(present) + number), item) for number, item in enumerate(new)),
    ]


def _ours(client: Client, document: _Object) -> Iterator[json_text.Path]:
    if NAME in _servers(client, document):
        yield client.servers, NAME
    if client.asks:
        ids = [item["id"] for item in prompts()[1]]
        for index, item in reversed(list(enumerate(_inputs(document)))):
            if isinstance(item, dict) and item.get("id") in ids:
                yield "inputs", index


def _refusal(happened: str) -> ConfigurationError:
    return ConfigurationError(happened, "nothing was written")


def _servers(client: Client, document: _Object) -> _Object:
    servers = document.get(client.servers, {})
    return servers if isinstance(servers, dict) else {}


def _inputs(document: _Object) -> list[JsonValue]:
    inputs = document.get("inputs", [])
    return inputs if isinstance(inputs, list) else []


def _read(file: Path) -> str:
    """The file's text; empty if there is none."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise _refusal(f"{file}: {reason}; it was left as it is") from None


def _document(at: Place, text: str) -> _Object:
    """What the file says, if it is what the client would have written.

    Raises:
        ConfigurationError: it is not; changing it would be guessing.
    """
    left = "it was left as it is"
    try:
        document: JsonValue = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        if _COMMENT.search(_STRING.sub('""', text)):
            raise _refusal(f"{at.file} has comments, which would be lost; {left}. Put the entry in by hand") from None
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _refusal(f"{at.file} is not valid JSON{line}; {left}. Correct it first") from None
    if not isinstance(document, dict):
        raise _refusal(f"{at.file} does not hold a JSON object; {left}")
    for name, wanted in ((at.client.servers, dict), ("inputs", list)):
        if name in document and not isinstance(document[name], wanted):
            raise _refusal(f"{at.file}: {name} is not what {at.client.title} reads; {left}")
    entry = _servers(at.client, document).get(NAME)
    if entry is not None and not re.search("scp-aimlops-mcp|aimlops_server", json.dumps(entry)):
        raise _refusal(f"{at.file} has another server named {NAME}; {left}. Give that one another name")
    return document


def _finish(at: Place, old: str, new: str, document: _Object, out: TextIO, *, yes: bool) -> None:
    if new == old or (not old.strip() and not document):
        out.write(f"{at.file}: nothing to change.\n")
        return
    # Twice the same name in one object, say: what was meant cannot be told.
    if json.loads(new) != document:
        raise _refusal(f"{at.file} cannot be changed safely; it was left as it is")
    out.write(_diff(at, old, new))
    _ask(out, yes=yes)
    # A link is kept: what it leads to is what is written.
    file = at.file.resolve()
    if _read(file) != old:
        raise _refusal(f"{at.file} changed meanwhile; it was left as it is. Run this again")
    backup = _write(file, old, new)
    out.write(f"Written: {at.file}\n" + (f"Before:  {backup}\n" if backup else ""))
    out.write(f"Restart {at.client.title} to see it.\n")


def _ask(out: TextIO, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise _refusal("nothing was written: there is no terminal to ask in. Give --yes if you mean it")
    out.write("Write it? [y/N] ")
    out.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise _refusal("nothing was written")


def _diff(at: Place, old: str, new: str) -> str:
    """What changes, with every text hidden that is neither a name nor ours."""
    ours = _ours_as_shown(at.client, old) | _ours_as_shown(at.client, new)

    def shown(text: str) -> list[str]:
        hidden = _STRING.sub(lambda m: m[0] if m[2] or m[1] in ours else f'"{HIDDEN}"', text)
        return [line.rstrip("\r") for line in hidden.removesuffix("\n").split("\n")]

    lines = list(difflib.unified_diff(shown(old) if old else [], shown(new), str(at.file), str(at.file), lineterm=""))
    return "\n".join(lines) + "\n" if lines else f"{at.file}: only hidden values change.\n"


def _ours_as_shown(client: Client, text: str) -> set[str]:
    """How our entry starts the server, our questions and the references to their answers: their texts, as JSON."""
    document = cast("_Object", json.loads(text)) if text.strip() else {}
    entry = _servers(client, document).get(NAME)
    if not isinstance(entry, dict):
        return set()
    references, questions = prompts()
    started = [entry.get(name) for name in ("type", "command", "args")]
    texts = _texts([*started, *questions, *references.values()])
    return {json.dumps(each, ensure_ascii=ascii_) for each in texts for ascii_ in (False, True)}


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value if isinstance(value, list) else value.values():
            yield from _texts(each)


def _write(file: Path, old: str, new: str) -> Path | None:
    """Replace the file as a whole, keeping its mode; returns where the old text is kept."""
    backup = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
        if file.exists():
            backup = file.with_name(f"{file.name}.{datetime.now():%Y%m%dT%H%M%S%f}.bak")
            _create(backup, old, mode)
        whole = file.with_name(f".{file.name}.{os.getpid()}.new")
        try:
            _create(whole, new, mode)
            whole.replace(file)
        finally:
            whole.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(f"{file}: {error.strerror}; it was left as it is") from None
    return backup


def _create(file: Path, text: str, mode: int) -> None:
    # Made private, and opened up to the old mode only when it is whole: the text may hold other servers' keys.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(text.encode("utf-8"))
        stream.flush()
        os.fsync(stream.fileno())
    file.chmod(mode)


def _put(document: _Object, path: json_text.Path, value: JsonValue) -> None:
    """As `json_text.put`, for the paths of `_installed`."""
    name, last = cast("tuple[str, str | int]", path)
    if isinstance(last, str):
        cast("_Object", document.setdefault(name, {}))[last] = value
    else:
        cast("list[JsonValue]", document.setdefault(name, [])).append(value)


def _remove(document: _Object, path: json_text.Path) -> None:
    """As `json_text.remove`, for the paths of `_ours`."""
    name, last = cast("tuple[str, str]", path)
    del cast("_Object", document[name])[last]
