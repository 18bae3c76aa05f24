"""JSON Schema of requests and answers, said once: no titles, no references, no repeated defaults.

Every byte of it is read by an assistant at each session's start, and some
model providers refuse `$ref` or `anyOf`.
"""

from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode


def request_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of what may be given."""
    return _schema(model, "validation")


def answer_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of what is returned. Fields without a value are left out, so none is nullable."""
    return _schema(model, "serialization")


def _schema(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
    raw = model.model_json_schema(mode=mode)
    definitions = cast("dict[str, dict[str, Any]]", raw.pop("$defs", {}))
    return cast("dict[str, Any]", _tidy(raw, definitions))


def _tidy(node: Any, definitions: dict[str, dict[str, Any]]) -> Any:
    if isinstance(node, list):
        return [_tidy(item, definitions) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    schema = _resolved(_one_branch(_resolved(cast("dict[str, Any]", node), definitions)), definitions)
    tidy = {
        key: {name: _tidy(field, definitions) for name, field in value.items()}
        if key == "properties"
        else _tidy(value, definitions)
        for key, value in schema.items()
        if key not in {"title", "writeOnly"} and not (key == "default" and value in (None, ""))
    }
    if tidy.get("additionalProperties") in (True, {}):
        del tidy["additionalProperties"]
    return tidy


def _resolved(node: dict[str, Any], definitions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The node with its reference filled in and the class's docstring, written for developers, left out."""
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        return {**_resolved(target, definitions), **{k: v for k, v in node.items() if k != "$ref"}}
    if "properties" in node:
        return {k: v for k, v in node.items() if k != "description"}
    return node


def _one_branch(node: dict[str, Any]) -> dict[str, Any]:
    """`X or null` becomes X: a missing value is left out, on the wire and in results."""
    branches = [b for b in cast("list[dict[str, Any]]", node.get("anyOf", [])) if b != {"type": "null"}]
    if len(branches) != 1:
        return node
    outer = {k: v for k, v in node.items() if k != "anyOf"}
    return {**branches[0], **outer}
