"""What the fuzzed tests send: what Schemathesis makes of a schema, fitting and not, and calls spoiled in one place."""

from collections.abc import Mapping
from typing import Any, cast

import jsonschema
import schemathesis
from aimlops_server.sandbox import seed
from aimlops_tools import OPERATIONS
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from tests.examples import EXAMPLES

JsonObject = dict[str, Any]

# What an id is drawn from: else nearly every one would be unknown, and little behind it reached.
IDS: Mapping[str, list[str]] = {
    "release_id": [seed.DEPLOYED_RELEASE_ID, seed.CREATING_RELEASE_ID, seed.FAILED_RELEASE_ID, "0" * 32],
    "cluster_id": [seed.DEPLOYED_CLUSTER_ID, seed.FREE_CLUSTER_ID, seed.CREATING_CLUSTER_ID, "0" * 32],
    "image_id": [seed.ENTERPRISE_IMAGE_ID, seed.MINI_IMAGE_ID, "IMAGE-unknown"],
}
# One call of every operation that comes through all checks.
EXAMPLE_CALLS: Mapping[str, JsonObject] = {
    name: operation.validate_arguments(EXAMPLES[name]).to_wire() for name, operation in OPERATIONS.items()
}

# Half a character cannot be written as UTF-8; test_arguments.py covers it.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | _TEXTS
_ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3), max_leaves=4
)


def drawn(document: JsonObject) -> dict[str, dict[GenerationMode, st.SearchStrategy[Case[Any]]]]:
    """By operation of an OpenAPI document: requests that fit it, and some that do not."""
    schema: Any = schemathesis.openapi.from_dict(_with_ids(document))  # its own types are partial
    return {
        operation.definition.raw["operationId"]: {
            mode: operation.as_strategy(generation_mode=mode) for mode in GenerationMode
        }
        for operation in (each.ok() for each in schema.get_all_operations())
    }


def _with_ids(node: Any, name: str = "") -> Any:
    """The document, with the ids that are drawn as all that their fields allow."""
    if isinstance(node, list):
        return [_with_ids(each) for each in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    given = cast("JsonObject", node)
    if name in IDS and ("type" in given or "anyOf" in given):
        return {"enum": IDS[name]}
    # A parameter's name stands beside its schema, a property's before it.
    return {key: _with_ids(value, given.get("name", "") if key == "schema" else key) for key, value in given.items()}


def spoiled_calls(calls: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[JsonObject]:
    """Calls with one place replaced, removed or added to; now and then such a call still fits."""
    return calls.flatmap(_spoiled_object)


@st.composite
def _spoiled_object(draw: st.DrawFn, given: JsonObject) -> JsonObject:
    name = draw(st.sampled_from(sorted(given) or [""]))
    match draw(st.sampled_from(["replaced", "removed", "added"])) if given else "added":
        case "replaced":
            return {**given, name: draw(_spoiled(given[name]))}
        case "removed":
            return {key: item for key, item in given.items() if key != name}
        case _:
            return {**given, draw(_TEXTS): draw(_ANYTHING)}


def _spoiled(value: object) -> st.SearchStrategy[Any]:
    if isinstance(value, dict):
        return _spoiled_object(cast("JsonObject", value)) | _ANYTHING
    if isinstance(value, list):
        return st.tuples(st.just(cast("list[Any]", value)), _ANYTHING).map(lambda parts: [*parts[0], parts[1]])
    return _ANYTHING


def as_read(value: object, schema: JsonObject, root: JsonObject | None = None) -> Any:
    """The value without the declared fields that are empty: they are as good as absent."""
    if "$ref" in schema and root is not None:
        schema = _target(schema["$ref"], root)
    if "anyOf" in schema:
        return as_read(value, schema["anyOf"][0], root)
    if isinstance(value, list) and "items" in schema:
        return [as_read(item, schema["items"], root) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return cast("Any", value)
    declared = cast("JsonObject", schema.get("properties", {}))
    return {
        name: as_read(item, declared.get(name, {}), root)
        for name, item in cast("JsonObject", value).items()
        if name not in declared or item not in (None, "")
    }


def _target(reference: str, root: JsonObject) -> JsonObject:
    for step in reference.removeprefix("#/").split("/"):
        root = root[step]
    return root


def errors_of(value: Any, schema: JsonObject, root: JsonObject | None = None) -> list[str]:
    """What is wrong with the value, one line each; references of the schema point into `root`."""
    validator = jsonschema.Draft202012Validator({**(root or {}), **schema})
    problems = validator.iter_errors(value)  # pyright: ignore[reportUnknownMemberType] reason: its types are partial
    return [problem.message for problem in problems]
