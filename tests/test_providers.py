"""The tools' input schemas are what every big model provider takes: one that is not spoils a client's whole request."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from tests.generate import tool_snapshots

JsonObject = dict[str, Any]
TOOLS = tool_snapshots()


@dataclass(frozen=True, slots=True)
class Provider:
    """What one provider takes. Where its models or its documents differ, the narrower rule stands here."""

    name: str
    sources: tuple[str, ...]
    tool_names: str
    field_names: str
    keywords: str = ".+"
    # Not at the root, where all of them want an object.
    not_at_root: frozenset[str] = frozenset({"anyOf", "oneOf", "allOf", "not", "enum"})
    description_chars: tuple[int, int] = (1, 10_000)
    # Objects and lists within one another, the root included.
    depth: int = 10
    fields: int = 5_000
    choices: int = 1_000
    # Of all names of fields and all choices together.
    named_chars: int = 120_000


PROVIDERS = (
    Provider(
        "OpenAI function calling",
        sources=(
            # Depth, fields, choices, named_chars, and an object at the root; earlier 5 levels and 100 fields.
            "https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas",
            "https://community.openai.com/t/measuring-maximum-depth-and-object-properties-in-structured-outputs/918388",
            # Names.
            "https://platform.openai.com/docs/api-reference/chat/create",
            # "string too long. Expected a string with maximum length 1024": newer models take more.
            "https://github.com/getsentry/sentry-mcp/issues/106",
            # "not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level"
            "https://github.com/chatanywhere/GPT_API_free/issues/403",
        ),
        tool_names="[a-zA-Z0-9_-]{1,64}",
        field_names=".+",
        description_chars=(1, 1024),
        depth=5,
        fields=100,
    ),
    Provider(
        "Anthropic tool use",
        sources=(
            # Names of tools.
            "https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools",
            # "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"
            "https://github.com/anthropics/claude-code/issues/79418",
            # "input_schema does not support oneOf, allOf, or anyOf at the top level"
            "https://github.com/anthropics/claude-code/issues/5973",
        ),
        tool_names="[a-zA-Z0-9_-]{1,64}",
        field_names="[a-zA-Z0-9_.-]{1,64}",
    ),
    Provider(
        "Google Gemini function declarations",
        sources=(
            # Names of tools; of fields: the Vertex AI reference, FunctionDeclaration.parameters.
            "https://firebase.google.com/docs/reference/js/ai.functiondeclaration",
            "https://cloud.google.com/vertex-ai/generative-ai/docs/reference/java/latest/com.google.cloud.vertexai.api.FunctionDeclarationOrBuilder",
            # Keywords: the Schema object. It has additionalProperties on Vertex AI; the Gemini API takes it in
            # parametersJsonSchema, where Google's own MCP clients put a tool's schema.
            "https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/Shared.Types/Schema",
            "https://github.com/google-gemini/gemini-cli/pull/4176",
        ),
        # 63: one of the three documents says so.
        tool_names="[a-zA-Z_][a-zA-Z0-9_-]{0,62}",
        field_names="[a-zA-Z_][a-zA-Z0-9_]{0,63}",
        keywords="type|format|title|description|nullable|default|items|minItems|maxItems|enum|properties|required|"
        "minProperties|maxProperties|minimum|maximum|minLength|maxLength|pattern|example|anyOf|propertyOrdering|"
        "additionalProperties",
    ),
    Provider(
        "AWS Bedrock",
        sources=(
            # Converse; agents, whose names are narrower; Nova, whose descriptions are.
            "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html",
            "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent_ToolSpecification.html",
            "https://docs.aws.amazon.com/nova-act/latest/APIReference/API_ToolSpec.html",
            # It hands Anthropic's rule about names of fields on.
            "https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/709",
        ),
        tool_names="[a-zA-Z][a-zA-Z0-9_]{0,63}",
        field_names="[a-zA-Z0-9_.-]{1,64}",
    ),
)


def broken_rules(tool: JsonObject, provider: Provider) -> Iterator[str]:
    schema, description = tool["inputSchema"], tool["description"]
    nodes = list(nodes_of(schema))
    names = [name for _, node in nodes for name in node.get("properties", {})]
    choices = [str(choice) for _, node in nodes for choice in node.get("enum", ())]
    least, most = provider.description_chars
    if not re.fullmatch(provider.tool_names, tool["name"]):
        yield f"the tool's name is not {provider.tool_names}"
    if not least <= len(description) <= most:
        yield f"the description has {len(description)} characters, not {least} to {most}"
    if schema.get("type") != "object" or "properties" not in schema or provider.not_at_root & schema.keys():
        yield "the root is not a plain object"
    yield from (
        f"{name} is not {provider.field_names}" for name in names if not re.fullmatch(provider.field_names, name)
    )
    for _, node in nodes:
        yield from (f"{keyword} is not taken" for keyword in node if not re.fullmatch(provider.keywords, keyword))
        if "$ref" in node and not resolves(node["$ref"], schema):
            yield f"{node['$ref']} leads nowhere"
        if not {"type", "anyOf", "$ref"} & node.keys():
            yield "a field has no type"
        if isinstance(node.get("type"), list):
            yield "a field has several types"
        if node.get("type") == "array" and "items" not in node:
            yield "a list does not tell of what"
        if not all(isinstance(choice, str) for choice in node.get("enum", ())):
            yield "a choice is no text"
        if not set(node.get("required", ())) <= node.get("properties", {}).keys():
            yield "a required field is not declared"
    measured = {
        "depth": (max(depth for depth, _ in nodes), provider.depth),
        "fields": (len(names), provider.fields),
        "choices": (len(choices), provider.choices),
        "characters of names and choices": (sum(map(len, names + choices)), provider.named_chars),
    }
    yield from (f"{what}: {found}, over {limit}" for what, (found, limit) in measured.items() if found > limit)


def nodes_of(schema: JsonObject, depth: int = 1) -> Iterator[tuple[int, JsonObject]]:
    """Each schema in this one, itself first, with its depth: a field's own is its object's unless it holds more."""
    yield depth, schema
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for each in cast("list[JsonObject]", inner):
        yield from nodes_of(each, depth + (each.get("type") in ("object", "array")))


def resolves(reference: str, schema: JsonObject) -> bool:
    target: Any = schema
    for step in reference.removeprefix("#/").split("/"):
        target = cast("JsonObject", target).get(step) if isinstance(target, dict) else None
    return isinstance(target, dict)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_every_tool_is_what_the_provider_takes(provider: Provider) -> None:
    found = {name: list(broken_rules(tool, provider)) for name, tool in TOOLS.items()}
    assert found == {name: [] for name in TOOLS}


# Objects without fields. Gemini's older `parameters` refuses them, "should be non-empty for OBJECT type", as in
# https://github.com/agno-agi/agno/issues/2112; its parametersJsonSchema takes them. By tool and field, why they stay.
WITHOUT_FIELDS = {
    ("check_setup", ""): "it has no arguments; clients leave the whole schema out then",
    ("create_platform", "tags"): "the reference says array[object] and names no field",
    ("create_platform", "private_acl_ip_resource"): "the reference says array[object] and names no field",
}


def test_objects_without_fields_are_those_that_nobody_describes() -> None:
    found = {(name, field) for name, tool in TOOLS.items() for field in without_fields(tool["inputSchema"])}
    assert found == WITHOUT_FIELDS.keys()


def without_fields(schema: JsonObject, name: str = "") -> Iterator[str]:
    if schema.get("type") == "object" and not schema.get("properties"):
        yield name
    for field, inner in schema.get("properties", {}).items():
        yield from without_fields(inner, field)
    if "items" in schema:
        yield from without_fields(schema["items"], name)


def test_no_provider_meets_more_tools_than_it_takes() -> None:
    """OpenAI takes 128 in one request, https://platform.openai.com/docs/api-reference/chat/create; others take more."""
    assert len(TOOLS) <= 128


def nested(depth: int) -> JsonObject:
    return {"type": "object", "properties": {"inner": nested(depth - 1)} if depth > 1 else {}}


@pytest.mark.parametrize(
    ("changed", "broken_at"),
    [
        ({"name": "a" * 65}, 4),
        ({"name": "a b"}, 4),
        ({"name": "1st"}, 2),
        ({"description": ""}, 4),
        ({"description": "x" * 1025}, 1),
        ({"inputSchema": {"type": "object"}}, 4),
        ({"inputSchema": {"type": "object", "properties": {}, "anyOf": []}}, 4),
        ({"inputSchema": {"type": "object", "properties": {"a[b]": {"type": "string"}}}}, 3),
        ({"inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}}, 4),
        ({"inputSchema": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}}, 4),
        ({"inputSchema": {"type": "object", "properties": {"a": {"type": "array"}}}}, 4),
        ({"inputSchema": {"type": "object", "properties": {"a": {"const": 1}}}}, 4),
        ({"inputSchema": {"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 2}}}}, 1),
        ({"inputSchema": {"type": "object", "properties": {"a": {"type": "integer", "enum": [1]}}}}, 4),
        ({"inputSchema": {"type": "object", "properties": {}, "required": ["a"]}}, 4),
        ({"inputSchema": {"type": "object", "properties": {str(n): {"type": "null"} for n in range(101)}}}, 2),
        ({"inputSchema": nested(10)}, 1),
        ({"inputSchema": nested(11)}, 4),
    ],
)
def test_a_tool_that_breaks_a_rule_is_told(changed: JsonObject, broken_at: int) -> None:
    """Each rule bites, at as many providers as have it."""
    tool: JsonObject = {"name": "tool", "description": "Does it.", "inputSchema": {"type": "object", "properties": {}}}
    assert sum(any(broken_rules(tool | changed, provider)) for provider in PROVIDERS) == broken_at
