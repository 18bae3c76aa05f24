"""The command line: reads it, then runs the app. Heavy imports come after the reading, so that --help is quick."""

import argparse
import math
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from aimlops_server.settings import Settings

EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(argv)
    import anyio

    from aimlops_server.errors import ConfigurationError, NotSent

    try:
        return _audit(options) if options.command == "audit" else anyio.run(_run, options)
    except (ConfigurationError, NotSent) as error:
        sys.stderr.write(f"scp-aimlops-mcp: {error.happened}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0  # the reader of the output has seen enough


def _settings(options: argparse.Namespace) -> "Settings":
    from aimlops_server.logs import log_to_stderr
    from aimlops_server.settings import Settings

    settings = Settings.read(**{name: getattr(options, name) for name in _SETTING_FLAGS})
    log_to_stderr(settings.log_format)
    return settings.for_sandbox() if options.sandbox else settings


def _audit(options: argparse.Namespace) -> int:
    from aimlops_server import audit_command

    directory = _settings(options).state_path
    if options.action == "verify":
        return audit_command.verify_command(directory, sys.stdout)
    if options.action == "show":
        return audit_command.show(directory, sys.stdout, options.limit)
    code = audit_command.export(directory, sys.stdout, options.format)
    if code:
        sys.stderr.write("scp-aimlops-mcp: the log is broken; run: scp-aimlops-mcp audit verify\n")
    return code


async def _run(options: argparse.Namespace) -> int:
    # Read before the SDK is imported: a malformed setting is told at once.
    settings = _settings(options) if options.command in {None, "approve"} else None

    from aimlops_server import app

    if options.command == "sandbox":
        await app.run_sandbox(
            options.host, options.port, speed=options.speed, faults=options.fault, profile=options.profile
        )
    elif options.command == "demo":
        from aimlops_server.demo import run_demo

        await run_demo()
    elif settings is None:
        raise AssertionError(f"{options.command} has no branch")
    elif options.command == "approve":
        return await app.approve(settings, options.plan)
    else:
        server = app.sandbox_server(settings, speed=options.speed) if options.sandbox else app.build_server(settings)
        await app.serve(server, options.transport, options.host, options.port)
    return 0


# Keys have no flag: a command line is visible to every user of the machine.
_SETTING_FLAGS = ("region", "environment", "account_id", "endpoint", "api_version", "read_only")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scp-aimlops-mcp",
        description="MCP server for Samsung Cloud Platform's AI&MLOps Platform. Without a command it serves stdio.",
        epilog="Keys come from SCP_ACCESS_KEY and SCP_SECRET_KEY, or from ~/.scpconf/credentials.json.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('scp-aimlops-mcp')}")
    parser.add_argument("--sandbox", action="store_true", help="run against the embedded sandbox: no keys, no network")
    parser.add_argument("--transport", choices=("stdio", "http"), default="stdio", help="default: stdio")
    parser.add_argument("--region", help="SCP region, e.g. kr-west1")
    parser.add_argument("--environment", help="SCP environment: s, g or e")
    parser.add_argument("--account-id", help="SCP account id")
    parser.add_argument("--endpoint", help="another address of the service")
    parser.add_argument("--api-version", help="1.0, 1.1 or 1.2")
    parser.add_argument("--read-only", action="store_const", const=True, help="remove the tools that change things")
    _address(parser, port=8000)
    _speed(parser)
    commands = parser.add_subparsers(dest="command", metavar="command")
    sandbox = commands.add_parser("sandbox", help="serve the sandbox over HTTP, for any client")
    _address(sandbox, port=8080)
    _speed(sandbox)
    sandbox.add_argument(
        "--fault", action="append", default=[], metavar="SPEC", help="e.g. POST:drop_after or GET:status=503:times=2"
    )
    sandbox.add_argument(
        "--profile", choices=("live", "reference"), default="live", help="whose behaviour, where the two differ"
    )
    commands.add_parser("demo", help="watch a platform being created and deleted in the sandbox")
    approve = commands.add_parser("approve", help="approve or deny a waiting plan in this terminal")
    approve.add_argument("plan", nargs="?", help="the plan's id; without it the waiting plans are listed")
    audit = commands.add_parser("audit", help="read and check the audit log")
    actions = audit.add_subparsers(dest="action", metavar="action", required=True)
    show = actions.add_parser("show", help="the newest steps")
    show.add_argument("--limit", type=_at_least_one, default=50, metavar="N", help="how many (default 50)")
    actions.add_parser("verify", help="check the chain; names the first broken line")
    export = actions.add_parser("export", help="the whole log on stdout")
    export.add_argument("--format", choices=("csv", "json"), default="csv", help="default: csv")
    return parser


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


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: a client shows stderr's last line, and the usage is a page."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"scp-aimlops-mcp: {message} (see --help)\n")


if __name__ == "__main__":
    raise SystemExit(main())
