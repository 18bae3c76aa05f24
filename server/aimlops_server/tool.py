"""A tool call: which tool it is, its arguments, its result. Errors are results that say what to do next."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aimlops_tools import OPERATIONS, Effect, Operation
from aimlops_tools.fields import Check, Listing, Paged
from aimlops_tools.operation import Answer
from aimlops_tools.procedure import PROCEDURES, Procedure
from aimlops_tools.text import plain
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, InputRequiredResult

from aimlops_server import logs
from aimlops_server.arguments import parse_arguments
from aimlops_server.client import ApiClient
from aimlops_server.describe import Call
from aimlops_server.errors import AimlopsError, UnknownState
from aimlops_server.results import MAX_ITEMS_SHOWN, as_data, result, text

if TYPE_CHECKING:
    from aimlops_server.changes import Changes
    from aimlops_server.procedures.run import Procedures


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of one server. `changes` and `procedures` are asked for by the first call that needs them."""

    api: ApiClient
    changes: Callable[[], "Changes"]
    procedures: Callable[[], "Procedures"]
    offered: Mapping[str, Call]

    async def call(
        self, ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Run one call. An expected failure is a result with is_error; an unknown tool or state is a protocol error."""
        called = self.offered.get(params.name)
        if called is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {plain(params.name, 80)}")
        logs.call_id.set(secrets.token_hex(4))
        try:
            arguments = dict(params.arguments or {})
            if issubclass(called, Procedure):
                answer = await self.procedures().run(parse_arguments(called, arguments), _progress(ctx))
                return result(as_data(answer))
            if called.spec.effect is Effect.READ:
                return await self._read(parse_arguments(called, arguments))
            return await self.changes().call(ctx, params, called, arguments)
        except UnknownState as error:
            # The protocol wants such a state rejected with an error of its own, not with a result.
            raise MCPError(INVALID_PARAMS, error.explain(params.name)) from None
        except AimlopsError as error:
            return CallToolResult(content=[text(error.explain(params.name))], is_error=True)

    async def _read(self, operation: Operation[Any]) -> CallToolResult:
        answer = cast("Answer", await self.api.read(operation))
        data = as_data(answer)
        if isinstance(operation, Check):
            data["meaning"] = operation.meaning(bool(data["result"]))
        if isinstance(answer, Listing):
            data |= _paging(operation, cast("Listing[Any]", answer))
        return result(data)


def offered_tools(*, read_only: bool) -> dict[str, Call]:
    """The operations and procedures that become tools."""
    operations = {n: o for n, o in OPERATIONS.items() if not read_only or o.spec.effect is Effect.READ}
    return {**operations, **PROCEDURES}


def _progress(ctx: ServerRequestContext[Any]) -> Callable[[float, float, str], Awaitable[None]]:
    async def tell(waited_s: float, total_s: float, words: str) -> None:
        await ctx.session.report_progress(waited_s, total_s, words)

    return tell


def _paging(operation: Operation[Any], listing: Listing[Any]) -> dict[str, Any]:
    if not isinstance(operation, Paged):
        return {"page": 0}
    count = len(listing.items)
    more = count > 0 and operation.page * operation.size + count < listing.total
    paging: dict[str, Any] = {"page": operation.page}
    if more:
        paging["next"] = f"call {operation.tool_name()} again with page={operation.page + 1} and the same arguments"
    if count > MAX_ITEMS_SHOWN:
        paging["next"] = (
            f"the service sent {count} items at once, the first {MAX_ITEMS_SHOWN} are here: narrow the filter"
        )
    return paging
