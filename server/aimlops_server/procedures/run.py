"""Which function does which procedure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aimlops_tools.operation import Answer
from aimlops_tools.procedure import CheckSetup, DiagnosePlatform, FindOptions, Procedure, WaitForPlatform

from aimlops_server.client import ApiClient
from aimlops_server.procedures.diagnosis import diagnose_platform
from aimlops_server.procedures.options import find_options
from aimlops_server.procedures.setup import check_setup
from aimlops_server.procedures.waiting import Tell, wait_for_platform
from aimlops_server.settings import Settings
from aimlops_server.watching import Watcher


@dataclass(frozen=True, slots=True)
class Procedures:
    """The procedures of one server. `clock_s` is Unix seconds."""

    settings: Settings
    api: ApiClient
    watcher: Watcher
    clock_s: Callable[[], float]

    async def run(self, call: Procedure[Any], tell: Tell) -> Answer:
        """Answer one call; `tell` hears how far it is.

        Raises:
            AimlopsError: what it is about cannot be read.
        """
        match call:
            case FindOptions():
                return await find_options(self.api, call)
            case WaitForPlatform():
                return await wait_for_platform(self.watcher, call, self.clock_s, tell)
            case DiagnosePlatform():
                return await diagnose_platform(self.api, call, self.clock_s())
            case CheckSetup():
                return await check_setup(self.api, self.settings)
            case _:
                raise TypeError(f"{call.tool_name()} is not done: declare it here")
