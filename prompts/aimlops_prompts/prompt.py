"""What a prompt is: a function from texts to a text. Its name, arguments and description come from the function."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class About:
    """Describes a prompt's argument where it is declared."""

    description: str


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. Its name says what completes it: `release_id` anywhere is a platform's id."""

    name: str
    description: str
    required: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """A guided procedure. `text` takes the arguments by name; one not given is ""."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    text: Callable[..., str]


PROMPTS: dict[str, Prompt] = {}


def prompt(function: Callable[..., str]) -> Callable[..., str]:
    """Declare a function as a prompt."""
    hints = get_type_hints(function, include_extras=True)
    arguments = tuple(
        Argument(name, _about(hints[name]), parameter.default is inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
    )
    name = function.__name__
    description = inspect.getdoc(function) or ""
    PROMPTS[name] = Prompt(name, name.replace("_", " ").capitalize(), description, arguments, function)
    return function


def _about(hint: object) -> str:
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, About):
                return extra.description
    raise TypeError(f"{hint} needs an About(...)")
