"""Every tool, called with what its own schema allows and with what it does not, by a client that never confirms."""

from typing import Any

import anyio
import pytest
from aimlops_server.sandbox.app import Sandbox
from anyio.from_thread import start_blocking_portal
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from mcp import Client
from mcp_types import CallToolResult
from schemathesis import Case, GenerationMode

from tests.fuzzing import EXAMPLE_CALLS, JsonObject, as_read, drawn, errors_of, spoiled_calls
from tests.generate import tool_snapshots
from tests.world import ERAS, Clock, declines, session, text_of

TOOLS = tool_snapshots()
# Schemathesis draws requests of an API: to it, a tool is an operation whose body is the arguments.
DRAWN = drawn(
    {
        "openapi": "3.1.0",
        "info": {"title": "the tools", "version": "1"},
        "paths": {
            f"/{name}": {
                "post": {
                    "operationId": name,
                    "requestBody": {"required": True, "content": {"application/json": {"schema": tool["inputSchema"]}}},
                    "responses": {"200": {"description": "Its result"}},
                }
            }
            for name, tool in TOOLS.items()
        },
    }
)
# By argument: what it always is. A wait would take its time.
FIXED = {"timeout_s": 0}
LIMIT_S = 10


def arguments(cases: st.SearchStrategy[Case[Any]]) -> st.SearchStrategy[JsonObject]:
    """The bodies that are objects: a client can send no other arguments."""
    bodies: st.SearchStrategy[Any] = cases.map(lambda case: case.body)
    return bodies.filter(lambda body: isinstance(body, dict))


async def call(client: Client, name: str, arguments: dict[str, Any]) -> CallToolResult:
    with anyio.fail_after(LIMIT_S):
        return await client.call_tool(name, arguments)


@pytest.mark.parametrize(
    ("name", "era"),
    # The eras differ in how a person is asked, which a read never does.
    [(name, era) for name, tool in TOOLS.items() for era in ERAS[: 1 if tool["annotations"]["readOnlyHint"] else 2]],
)
def test_no_call_crashes_changes_or_answers_off_its_schema(name: str, era: str, sandbox: Sandbox, clock: Clock) -> None:
    """In the handshake era the person declines, in the stateless era the client has no way to ask one."""
    taken, answered = TOOLS[name]["inputSchema"], TOOLS[name]["outputSchema"]
    fixed = {argument: value for argument, value in FIXED.items() if argument in taken["properties"]}
    allowed, other = (arguments(DRAWN[name][mode]) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE))
    if name in EXAMPLE_CALLS:
        # What is drawn rarely passes a create's checks; this reaches the question.
        plans = [{"dry_run": True}] if "dry_run" in taken["properties"] else []
        allowed |= st.sampled_from([EXAMPLE_CALLS[name] | more for more in ({}, *plans)])
    calls = allowed | other | spoiled_calls(allowed)
    person = declines() if era == "legacy" else None
    outcomes: set[bool] = set()

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(session(sandbox, era, person, clock=clock)) as client,
    ):

        @limits(max_examples=25, derandomize=True, database=None)
        @given(calls)
        def fuzz(given_arguments: JsonObject) -> None:
            sent = given_arguments | fixed
            # An internal error reaches the client as an exception.
            result = portal.call(call, client, name, sent)
            if errors_of(as_read(sent, taken), taken):
                assert result.is_error
            if result.is_error:
                assert text_of(result).startswith(f"{name} ")
            else:
                assert errors_of(result.structured_content, answered) == []
            assert sandbox.changes == ()
            outcomes.add(result.is_error)

        fuzz()
    assert outcomes == {True, False}
    assert person is None or bool(person.asked) is ("dry_run" in taken["properties"])
