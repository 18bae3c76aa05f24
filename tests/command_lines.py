"""The command line's parsers, each under the words that lead to it, for what documents and tests them."""

import argparse
from collections.abc import Iterator, Sequence

from aimlops_server import __main__ as command_line

PROGRAM = command_line.PROGRAM


def _walk(parser: argparse.ArgumentParser, *names: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield " ".join(names), parser
    for action in actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage] reason: argparse lists its commands nowhere else
            commands: dict[str, argparse.ArgumentParser] = action.choices  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] reason: its type is given here
            for name, command in commands.items():
                yield from _walk(command, *names, name)


def actions(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """The options and arguments of a parser."""
    return parser._actions  # pyright: ignore[reportPrivateUsage] reason: argparse lists them nowhere else


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What the program understands by these words; it exits where it does not."""
    return command_line._parser().parse_args(words)  # pyright: ignore[reportPrivateUsage] reason: its commands are tested


PARSERS = dict(_walk(command_line._parser()))  # pyright: ignore[reportPrivateUsage] reason: its commands are documented
EXAMPLES = "examples:\n"


def examples(parser: argparse.ArgumentParser) -> list[str]:
    """The command lines that a parser's help shows."""
    return (parser.epilog or "").partition(EXAMPLES)[2].strip().splitlines()
