"""This project's sandbox server with the suite's own tools, resources and prompts added. For the suite alone.

What it proves is this project's adapter: the server that `app.sandbox_server` makes, with its lifespan, capabilities
and handlers, carried by `app.serve`. Where the suite leaves the answer open, its tool is one of ours under another name
(ALIASES), so that it judges our results, our errors and the guard's question. What is not the suite's goes to our
handlers as always. The rest only shows that whatever a handler may return reaches the client as the protocol wants it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import anyio
from aimlops_server.app import sandbox_server, serve
from aimlops_server.logs import log_to_stderr
from aimlops_server.sandbox.seed import DEPLOYED_RELEASE_ID
from aimlops_server.settings import Settings
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequests,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListRootsRequest,
    ListToolsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)

Context = ServerRequestContext[Any]
Call = Callable[[Context, CallToolRequestParams], Awaitable[CallToolResult | InputRequiredResult]]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
SOUND = "UklGRiUAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQEAAACA"

DELETE = ("delete_platform", {"release_id": DEPLOYED_RELEASE_ID})
ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "test_simple_text": ("list_platforms", {}),
    "test_logging_tool": ("list_platforms", {}),
    "test_error_handling": ("get_platform", {}),
    "test_elicitation": DELETE,
    "test_streaming_elicitation": DELETE,
    "test_input_required_result_tampered_state": DELETE,
}


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def image() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri: str, words: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type="text/plain", text=words))


CONTENT: dict[str, list[ContentBlock]] = {
    "test_image_content": [image()],
    "test_audio_content": [AudioContent(type="audio", data=SOUND, mime_type="audio/wav")],
    "test_embedded_resource": [embedded("test://embedded-resource", "An embedded resource.")],
    "test_multiple_content_types": [text("One of each:"), image(), embedded("test://mixed", "A resource.")],
}


# Questions in the stateless era: each tool asks its rounds one after the other, and the state says which one is out.


def form(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema: dict[str, Any] = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(words: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=text(words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


ALL_KINDS: InputRequests = {
    "user_name": form("What is your name?", "name"),
    "greeting": sampling("Write a greeting."),
    "client_roots": ListRootsRequest(),
}
ROUNDS: dict[str, list[InputRequests]] = {
    "test_input_required_result_elicitation": [{"user_name": form("What is your name?", "name")}],
    "test_input_required_result_sampling": [{"capital_question": sampling("What is the capital of France?")}],
    "test_input_required_result_list_roots": [{"client_roots": ListRootsRequest()}],
    "test_input_required_result_request_state": [{"confirm": form("Please confirm.", "ok", "boolean")}],
    "test_input_required_result_multiple_inputs": [ALL_KINDS],
    "test_input_required_result_multi_round": [
        {"step1": form("What is your name?", "name")},
        {"step2": form("What is your favourite colour?", "colour")},
    ],
    "test_input_required_result_capabilities": [ALL_KINDS],
    "test_input_required_result_prompt": [{"user_context": form("Which context?", "context")}],
}


def ask(ctx: Context, params: CallToolRequestParams | GetPromptRequestParams) -> InputRequiredResult | None:
    """The next question, or None when all are answered. Only what the client can answer is asked."""
    rounds = ROUNDS[params.name]
    state = params.request_state or "0"
    if state not in map(str, range(len(rounds))):
        raise MCPError(INVALID_PARAMS, "The request state is not one of this server's.")
    number = int(state)
    answered = params.input_responses or {}
    if all(key in answered for key in answerable(ctx, rounds[number])):
        number += 1
    if number == len(rounds):
        return None
    return InputRequiredResult(input_requests=answerable(ctx, rounds[number]), request_state=str(number))


def answerable(ctx: Context, requests: InputRequests) -> InputRequests:
    declared = ctx.session.client_capabilities
    kinds = {
        "elicitation/create": declared and declared.elicitation,
        "sampling/createMessage": declared and declared.sampling,
        "roots/list": declared and declared.roots,
    }
    return {key: request for key, request in requests.items() if kinds[request.method] is not None}


async def in_rounds(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    return ask(ctx, params) or CallToolResult(content=[text("state-ok")])


# Questions in the handshake era.

THREE = ("option1", "option2", "option3")
TITLED = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
FORMS: dict[str, dict[str, Any]] = {
    "test_elicitation_sep1034_defaults": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "test_elicitation_sep1330_enums": {
        "untitledSingle": {"type": "string", "enum": list(THREE)},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {"type": "string", "enum": list(THREE), "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": list(THREE)}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
}


async def by_form(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    schema = {"type": "object", "properties": FORMS[params.name]}
    answer = await ctx.session.elicit_form("Please fill this in.", schema, ctx.request_id)
    return CallToolResult(content=[text(f"action={answer.action}, content={answer.content}")])


async def sample(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    message = SamplingMessage(role="user", content=text(str((params.arguments or {})["prompt"])))
    # The revisions that have it are still tested.
    answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)  # pyright: ignore[reportDeprecated]
    return CallToolResult(content=[text(f"LLM response: {answer.content}")])


async def progress(ctx: Context, _: CallToolRequestParams) -> CallToolResult:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
    return CallToolResult(content=[text("done")])


async def needs_sampling(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        needed: dict[str, dict[str, dict[str, object]]] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "The client declares no sampling.", needed)
    return await accepted(ctx, params)


async def accepted(_: Context, __: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=[text("done")])


async def content(_: Context, params: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=CONTENT[params.name])


CALLS: dict[str, Call] = {
    **dict.fromkeys(CONTENT, content),
    **dict.fromkeys(ROUNDS, in_rounds),
    **dict.fromkeys(FORMS, by_form),
    "test_sampling": sample,
    "test_tool_with_progress": progress,
    "test_missing_capability": needs_sampling,
    "test_header": accepted,
}

# The suite looks for these keywords of JSON Schema 2020-12 to arrive as they were sent.
JSON_SCHEMA_TOOL: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}}}},
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
SCHEMAS: dict[str, dict[str, Any]] = {
    **{name: {"type": "object"} for name in (*ALIASES, *CALLS)},
    "test_header": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
    "json_schema_2020_12_tool": JSON_SCHEMA_TOOL,
}
TOOLS = [Tool(name=name, description="For the suite.", input_schema=schema) for name, schema in SCHEMAS.items()]

PROMPTS: dict[str, tuple[list[str], Callable[[Mapping[str, str]], list[ContentBlock]]]] = {
    "test_simple_prompt": ([], lambda _: [text("A simple prompt.")]),
    "test_prompt_with_arguments": (["arg1", "arg2"], lambda given: [text(f"{given['arg1']} and {given['arg2']}")]),
    "test_prompt_with_embedded_resource": (
        ["resourceUri"],
        lambda given: [embedded(given["resourceUri"], "A resource."), text("Process it.")],
    ),
    "test_prompt_with_image": ([], lambda _: [image(), text("Analyse it.")]),
    "test_input_required_result_prompt": ([], lambda _: [text("A prompt with context.")]),
}

STATIC: dict[str, TextResourceContents | BlobResourceContents] = {
    "test://static-text": TextResourceContents(uri="test://static-text", mime_type="text/plain", text="Some text."),
    "test://static-binary": BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PIXEL),
    "test://template/123/data": TextResourceContents(
        uri="test://template/123/data", mime_type="application/json", text='{"id":"123"}'
    ),
}


def extend(server: Server[Any]) -> Server[Any]:
    """The server with the suite's names added to each of its lists and handlers."""
    _wrap(server, "tools/list", _adding(ListToolsResult, "tools", TOOLS))
    _wrap(server, "tools/call", _call)
    prompts = [
        Prompt(
            name=name, description="For the suite.", arguments=[PromptArgument(name=a, required=True) for a in wants]
        )
        for name, (wants, _) in PROMPTS.items()
    ]
    _wrap(server, "prompts/list", _adding(ListPromptsResult, "prompts", prompts))
    _wrap(server, "prompts/get", _prompt)
    resources = [Resource(uri=uri, name=uri) for uri in STATIC if "template" not in uri]
    _wrap(server, "resources/list", _adding(ListResourcesResult, "resources", resources))
    template = ResourceTemplate(uri_template="test://template/{id}/data", name="template")
    _wrap(server, "resources/templates/list", _adding(ListResourceTemplatesResult, "resource_templates", [template]))
    _wrap(server, "resources/read", _read)
    return server


Handler = Callable[[Context, Any], Awaitable[Any]]
Wrapper = Callable[[Handler, Context, Any], Awaitable[Any]]


def _wrap(server: Server[Any], method: str, wrapper: Wrapper) -> None:
    ours = server.get_request_handler(method)
    if ours is None:
        raise AssertionError(f"the server has no {method}")
    inner = cast("Handler", ours.handler)

    async def handler(ctx: Context, params: Any) -> Any:
        return await wrapper(inner, ctx, params)

    server.add_request_handler(method, ours.params_type, handler)


def _adding(kind: type[Any], field: str, entries: list[Any]) -> Wrapper:
    async def listing(inner: Handler, ctx: Context, params: Any) -> Any:
        ours = await inner(ctx, params)
        return kind(**{field: [*getattr(ours, field), *entries]})

    return listing


async def _call(inner: Handler, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    if params.name in ALIASES:
        name, arguments = ALIASES[params.name]
        return await inner(ctx, params.model_copy(update={"name": name, "arguments": arguments}))
    return await CALLS.get(params.name, inner)(ctx, params)


async def _prompt(
    inner: Handler, ctx: Context, params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult:
    if params.name not in PROMPTS:
        return await inner(ctx, params)
    if params.name in ROUNDS and (question := ask(ctx, params)):
        return question
    _, contents = PROMPTS[params.name]
    return GetPromptResult(messages=[PromptMessage(role="user", content=c) for c in contents(params.arguments or {})])


async def _read(inner: Handler, ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    known = STATIC.get(str(params.uri))
    return ReadResourceResult(contents=[known]) if known else await inner(ctx, params)


async def main() -> None:
    """Serve on a free port; the address is in the log."""
    settings = Settings.read().for_sandbox()
    log_to_stderr(settings.log_format)
    await serve(extend(sandbox_server(settings, speed=600)), "http", "127.0.0.1", 0)


if __name__ == "__main__":
    anyio.run(main)
