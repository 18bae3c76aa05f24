"""The changes that are out now. Whoever ends the process waits for them, so that their outcomes are recorded."""

from collections.abc import Generator
from contextlib import contextmanager

import anyio


class InFlight:
    """Counts what is between its start on record and its outcome on record."""

    def __init__(self) -> None:
        self._out = 0
        self._landed = anyio.Event()

    @property
    def any(self) -> bool:
        """Whether a change is out."""
        return self._out > 0

    @contextmanager
    def one(self) -> Generator[None]:
        """A change that is out."""
        self._out += 1
        try:
            yield
        finally:
            self._out -= 1
            if not self._out:
                self._landed.set()
                self._landed = anyio.Event()

    async def none(self) -> None:
        """Return once no change is out. The HTTP limits of the one that is bound this."""
        while self._out:
            await self._landed.wait()
