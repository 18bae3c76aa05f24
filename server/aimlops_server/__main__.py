"""The command line: reads it, then runs the app. Heavy imports come after the reading, so that --help is quick.

Each command is a function of its options that returns the exit code, and a parser that names it.
"""

import argparse
import gc
import io
import math
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

if TYPE_CHECKING:
    from aimlops_server.settings import Settings

EXIT_USAGE = 2
PROGRAM = "scp-aimlops-mcp"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(argv)
    from aimlops_server.errors import ConfigurationError, NotSent

    try:
        return options.run(options)
    except (ConfigurationError, NotSent) as error:
        sys.stderr.write(f"{PROGRAM}: {error.happened}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0  # the reader of the output has seen enough
    finally:
        gc.enable()


def _settings(options: argparse.Namespace) -> "Settings":
    from aimlops_server.logs import log_to_stderr
    from aimlops_server.settings import Settings

    settings = Settings.read(**{name: getattr(options, name) for name in _SETTING_FLAGS})
    log_to_stderr(settings.log_format)
    return settings.for_sandbox() if options.sandbox else settings


def _leave_no_core() -> None:
    """A core file would hold the keys, and the password of a create that is out."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _serve(options: argparse.Namespace) -> int:
    _leave_no_core()
    # What is imported stays: to look for garbage in it, again and again, took an eighth of the start.
    gc.disable()
    # Read before the SDK is imported: a malformed setting is told at once.
    settings = _settings(options)

    async def run() -> None:
        from aimlops_server import app

        in_flight = app.InFlight()
        if options.sandbox:
            server = app.sandbox_server(settings, speed=options.speed, in_flight=in_flight)
        else:
            server = app.build_server(settings, in_flight=in_flight)
        gc.freeze()
        gc.enable()
        await app.serve(server, options.transport, options.host, options.port, in_flight)

    return _anyio(run)


def _sandbox(options: argparse.Namespace) -> int:
    async def run() -> None:
        from aimlops_server import app

        await app.run_sandbox(
            options.host, options.port, speed=options.speed, faults=options.fault, profile=options.profile
        )

    return _anyio(run)


def _demo(_: argparse.Namespace) -> int:
    async def run() -> None:
        from aimlops_server.demo import run_demo

        await run_demo()

    return _anyio(run)


def _approve(options: argparse.Namespace) -> int:
    settings = _settings(options)

    async def run() -> int:
        from aimlops_server import app

        return await app.approve(settings, options.plan)

    return _anyio(run)


def _check(options: argparse.Namespace) -> int:
    settings = _settings(options)

    async def run() -> int:
        from aimlops_server import app

        return await app.check(settings, _stdout(), sandbox_speed=options.speed if options.sandbox else None)

    return _anyio(run)


def _audit(options: argparse.Namespace) -> int:
    from aimlops_server import audit_command

    directory = _settings(options).state_path
    if options.action == "verify":
        return audit_command.verify_command(directory, sys.stdout)
    if options.action == "show":
        return audit_command.show(directory, sys.stdout, options.limit)
    code = audit_command.export(directory, sys.stdout, options.format)
    if code:
        sys.stderr.write(f"{PROGRAM}: the log is broken; run: {PROGRAM} audit verify\n")
    return code


def _install(options: argparse.Namespace) -> int:
    from aimlops_server.install import command

    settings = _settings(options)
    keys: dict[str, str] | None = None if options.sandbox else {}
    if options.with_keys and keys is not None:
        keys = {
            "SCP_ACCESS_KEY": settings.keys.access_key,
            "SCP_SECRET_KEY": settings.keys.secret_key.get_secret_value(),
        }
    at = command.place(options.client, project=options.project, keys=bool(keys))
    launch = command.this_program(_flags(options))
    if options.print:
        _stdout().write(command.snippet(at, launch, keys))
        sys.stderr.write(f"{PROGRAM}: this belongs into {at.file}\n")
    else:
        command.install(at, launch, keys, _stdout(), yes=options.yes)
    return 0


def _uninstall(options: argparse.Namespace) -> int:
    from aimlops_server.install import command

    command.uninstall(command.place(options.client, project=options.project, keys=False), _stdout(), yes=options.yes)
    return 0


def _list_settings(_: argparse.Namespace) -> int:
    from aimlops_server.settings import Settings, default_text, sources

    for field in Settings.model_fields.values():
        default = f" (default: {default_text(field)})" if default_text(field) else ""
        sys.stdout.write(f"{', '.join(sources(field))}\n    {field.description}{default}\n")
    return 0


def _completion(options: argparse.Namespace) -> int:
    import shtab

    sys.stdout.write(shtab.complete(_parser(), options.shell))
    return 0


def _stdout() -> TextIO:
    out = cast("TextIO", sys.stdout)
    # A Windows console or pipe has another code page by default.
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding="utf-8")
    return sys.stdout


def _anyio(run: Callable[[], Any]) -> int:
    import anyio

    return anyio.run(run) or 0


def _flags(options: argparse.Namespace) -> list[str]:
    """The given flags as words again: a client starts the server with them."""
    words = ["--sandbox"] if options.sandbox else []
    for name in _SETTING_FLAGS:
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    return words


# Keys have no flag: a command line is visible to every user of the machine. The words are those of the settings, which
# --help need not import; a test holds them equal.
_SETTING_FLAGS = {
    "region": "Region",
    "environment": "Environment: s, g or e; read from the auth URL when unset",
    "account_id": "Account id, sent and signed when set",
    "endpoint": "Replaces the service's address; https, or http on loopback. With {service} in it ({region} and "
    "{environment} too, if needed) it is the neighbouring services' address as well; without, look-ups are off",
    "api_version": "API version; 1.0 is deprecated, 1.2 adds node_pool_create_request.zone",
    "read_only": "Removes the three changing tools",
}


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="MCP server for Samsung Cloud Platform's AI&MLOps Platform. Without a command it serves stdio.",
        epilog=f"""\
keys:
  They come from SCP_ACCESS_KEY and SCP_SECRET_KEY, or from ~/.scpconf/credentials.json.
  '{PROGRAM} settings' lists every setting and where it is read from.

examples:
  {PROGRAM} --sandbox                 try it: no keys, no network
  {PROGRAM} --read-only               without the tools that change things
  {PROGRAM} --transport http          at http://127.0.0.1:8000/mcp
  {PROGRAM} install claude-desktop    set it up in a client
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_serve)
    parser.add_argument("--version", action=_Version, help="show this program's, the SDK's and the protocol's versions")
    parser.add_argument("--sandbox", action="store_true", help="run against the embedded sandbox: no keys, no network")
    parser.add_argument("--transport", choices=("stdio", "http"), default="stdio", help="default: stdio")
    for name, meaning in _SETTING_FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "read_only":
            parser.add_argument(flag, action="store_const", const=True, help=meaning)
        else:
            parser.add_argument(flag, help=meaning)
    _address(parser, port=8000)
    _speed(parser)
    commands = parser.add_subparsers(dest="command", metavar="command")

    sandbox = _command(
        commands.add_parser,
        "sandbox",
        _sandbox,
        "serve the sandbox over HTTP, for any client",
        ("sandbox --port 8080", "sandbox --speed 3600 --fault POST:drop_after", "sandbox --profile reference"),
    )
    _address(sandbox, port=8080)
    _speed(sandbox)
    sandbox.add_argument(
        "--fault", action="append", default=[], metavar="SPEC", help="e.g. POST:drop_after or GET:status=503:times=2"
    )
    sandbox.add_argument(
        "--profile", choices=("live", "reference"), default="live", help="whose behaviour, where the two differ"
    )

    _command(commands.add_parser, "demo", _demo, "watch a platform being created and deleted in the sandbox", ("demo",))

    _command(
        commands.add_parser,
        "check",
        _check,
        "check the setup: keys, clock, network, region, versions, the services around",
        ("check", "--region kr-east1 check", "--sandbox check"),
    )

    approve = _command(
        commands.add_parser,
        "approve",
        _approve,
        "approve or deny a waiting plan in this terminal",
        ("approve", "approve YB26-9T6D", "--sandbox approve"),
    )
    approve.add_argument("plan", nargs="?", help="the plan's id; without it the waiting plans are listed")

    audit = _command(
        commands.add_parser,
        "audit",
        _audit,
        "read and check the audit log",
        ("audit show --limit 10", "audit verify", "audit export --format json > audit.json"),
    )
    actions = audit.add_subparsers(dest="action", metavar="action", required=True)
    show = _command(actions.add_parser, "show", _audit, "the newest steps", ("audit show --limit 10",))
    show.add_argument("--limit", type=_at_least_one, default=50, metavar="N", help="how many (default 50)")
    _command(actions.add_parser, "verify", _audit, "check the chain; names the first broken line", ("audit verify",))
    export = _command(actions.add_parser, "export", _audit, "the whole log on stdout", ("audit export > audit.csv",))
    export.add_argument("--format", choices=("csv", "json"), default="csv", help="default: csv")

    install = _command(
        commands.add_parser,
        "install",
        _install,
        "set this server up in a client: shows the change, asks, keeps the old file",
        (
            "--sandbox install claude-code",
            "install vscode",
            "--region kr-east1 --read-only install cursor --project",
            "install claude-desktop --print",
        ),
        "The client starts the server with the options given before 'install'. No key is written: VS Code asks for "
        "them, with the others put them into ~/.scpconf/credentials.json.",
    )
    _client(install)
    keys = install.add_mutually_exclusive_group()
    keys.add_argument("--print", action="store_true", help="only print what to put into the client's file")
    keys.add_argument("--with-keys", action="store_true", help="write your keys into the file, readable to whoever can")
    uninstall = _command(
        commands.add_parser,
        "uninstall",
        _uninstall,
        "remove this server from a client, and nothing else",
        ("uninstall cursor", "uninstall vscode --project --yes"),
    )
    _client(uninstall)

    _command(
        commands.add_parser, "settings", _list_settings, "list the settings, their sources and defaults", ("settings",)
    )

    completion = _command(
        commands.add_parser,
        "completion",
        _completion,
        "print a script that completes this command line in a shell",
        (
            f"completion bash > ~/.local/share/bash-completion/completions/{PROGRAM}",
            f"completion zsh > ~/.zfunc/_{PROGRAM}",
            f"completion fish > ~/.config/fish/completions/{PROGRAM}.fish",
        ),
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _command(
    add_parser: Callable[..., argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    examples: Sequence[str],
    more: str = "",
) -> argparse.ArgumentParser:
    """A command: what it is, how it is called, and the function that does it."""
    parser = add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}. {more}".strip(),
        epilog="examples:\n" + "".join(f"  {PROGRAM} {example}\n" for example in examples),
        formatter_class=_Help,
    )
    parser.set_defaults(run=run)
    return parser


def _client(parser: argparse.ArgumentParser) -> None:
    # The names are those of aimlops_server.install.clients, which --help need not import.
    parser.add_argument("client", choices=("claude-code", "claude-desktop", "vscode", "cursor"))
    parser.add_argument("--project", action="store_true", help="in the project in this directory, not for your user")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _address(parser: argparse.ArgumentParser, port: int) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=port_number, default=port, help=f"port to listen on, 0 for any (default {port})")


def _speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--speed", type=factor, default=60.0, metavar="N", help="how much faster the sandbox's time runs (default 60)"
    )


def port_number(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, not {port}")
    return port


def factor(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {number}")
    return number


class _Help(argparse.RawDescriptionHelpFormatter):
    """Wraps the description and leaves the examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)  # pyright: ignore[reportPrivateUsage] reason: argparse has no public way


class _Version(argparse.Action):
    """Asks the SDK only when it is asked itself."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002 reason: argparse's name
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

        sys.stdout.write(
            f"{PROGRAM} {version(PROGRAM)}\nMCP SDK {version('mcp')}\n"
            f"MCP protocol {', '.join(KNOWN_PROTOCOL_VERSIONS)}\n"
        )
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: a client shows stderr's last line, and the usage is a page."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{PROGRAM}: {message} (see --help)\n")


if __name__ == "__main__":
    raise SystemExit(main())
