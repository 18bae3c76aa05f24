"""Several reads at once."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from aimlops_server.errors import AimlopsError

# Under the service's limit, which nobody knows: a firewall has met about 80 chains of calls within a minute (facts 5).
AT_ONCE = 8

T = TypeVar("T")


def shared(read: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """The same read, made once for all who ask; again only after it failed."""
    lock = anyio.Lock()
    kept: list[T] = []

    async def once() -> T:
        async with lock:
            if not kept:
                kept.append(await read())
        return kept[0]

    return once


async def together(*reads: Callable[[], Awaitable[T]]) -> list[T]:
    """The results of reads sent together, in order; the first one's error if any failed."""
    results: dict[int, T] = {}
    errors: dict[int, AimlopsError] = {}
    limit = anyio.Semaphore(AT_ONCE)

    async def run(place: int, read: Callable[[], Awaitable[T]]) -> None:
        async with limit:
            try:
                results[place] = await read()
            except AimlopsError as error:
                errors[place] = error

    async with anyio.create_task_group() as group:
        for place, read in enumerate(reads):
            group.start_soon(run, place, read)
    if errors:
        raise errors[min(errors)]
    return [results[place] for place in range(len(reads))]
