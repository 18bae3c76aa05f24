"""The command line: reads it, then runs the app. Heavy imports come after the reading, so that --help is quick."""

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("aimlops_server").setLevel(logging.INFO)

    import anyio

    from aimlops_server.errors import ConfigurationError

    try:
        anyio.run(_run, options)
    except ConfigurationError as error:
        sys.stderr.write(f"scp-aimlops-mcp: {error.happened}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    return 0


async def _run(options: argparse.Namespace) -> None:
    from aimlops_server.settings import Settings

    flags = {name: getattr(options, name) for name in _SETTING_FLAGS}
    # Read before the SDK is imported: a malformed setting is told at once.
    settings = Settings.read(**flags) if options.command is None else None

    from aimlops_server import app

    if options.command == "sandbox":
        await app.run_sandbox(
            options.host, options.port, speed=options.speed, faults=options.fault, profile=options.profile
        )
    elif options.command == "demo":
        from aimlops_server.demo import run_demo

        await run_demo()
    elif settings is not None:
        server = app.sandbox_server(settings, speed=options.speed) if options.sandbox else app.build_server(settings)
        await app.serve(server, options.transport, options.host, options.port)


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
    return parser


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
