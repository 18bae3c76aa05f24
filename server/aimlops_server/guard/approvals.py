"""Brings a waiting plan before a person whose client cannot show a form: on the approval page, opened in a browser."""

import os
import sys
from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.abc
import anyio.to_thread


class Page(Protocol):
    """The approval page, as much of it as is needed here."""

    async def serve(self) -> None: ...

    async def link(self, plan_id: str) -> str: ...


class Approvals:
    """Starts the page when it is first needed, in `group`. `open_browser` says whether it could open a link."""

    def __init__(
        self,
        group: anyio.abc.TaskGroup,
        make_page: Callable[[], Page],
        open_browser: Callable[[str], bool],
    ) -> None:
        self._group = group
        self._make_page = make_page
        self._open_browser = open_browser
        self._page: Page | None = None
        self._opened: dict[str, bool] = {}

    async def link(self, plan_id: str) -> str:
        """A link to the plan's page. It carries a secret: for the user's eyes, never for a tool result or a log."""
        if self._page is None:
            self._page = self._make_page()
            self._group.start_soon(self._page.serve)
        return await self._page.link(plan_id)

    async def open(self, plan_id: str) -> bool:
        """Open the plan's page in the user's browser, once for each plan; whether that was possible."""
        if plan_id not in self._opened:
            link = await self.link(plan_id)
            # Starting a browser waits for a process.
            self._opened[plan_id] = await anyio.to_thread.run_sync(self._open_browser, link)
        return self._opened[plan_id]


def open_browser(link: str) -> bool:
    """Open a link in this desktop's browser; False where there is none, e.g. over SSH or in a container."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False  # a text browser would draw over the protocol's stream
    if os.environ.get("SSH_CONNECTION") and not os.environ.get("DISPLAY"):
        return False
    import webbrowser  # not part of a plain start

    try:
        return webbrowser.open(link)
    except webbrowser.Error:
        return False
