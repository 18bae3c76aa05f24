"""What the fuzzed tests draw from a JSON Schema: values that fit it, and such values spoiled."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jsonschema
from aimlops_server.sandbox import seed
from aimlops_tools import OPERATIONS
from hypothesis import strategies as st

from tests.examples import EXAMPLES

JsonObject = dict[str, Any]

# Without them nearly every drawn id would be unknown, and little behind it reached.
KNOWN: Mapping[str, list[object]] = {
    "release_id": [seed.DEPLOYED_RELEASE_ID, seed.CREATING_RELEASE_ID, seed.FAILED_RELEASE_ID],
    "cluster_id": [seed.DEPLOYED_CLUSTER_ID, seed.FREE_CLUSTER_ID, seed.CREATING_CLUSTER_ID],
    "image_id": [seed.ENTERPRISE_IMAGE_ID, seed.MINI_IMAGE_ID],
}
# One call of every operation that comes through all checks.
EXAMPLE_CALLS: Mapping[str, JsonObject] = {
    name: operation.validate_arguments(EXAMPLES[name]).to_wire() for name, operation in OPERATIONS.items()
}

# Half a character cannot be written as UTF-8; test_arguments.py covers it.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_NUMBERS = st.floats(-1e9, 1e9)
_SCALARS = st.none() | st.booleans() | st.integers() | _NUMBERS | _TEXTS
_ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3), max_leaves=4
)
_ANNOTATIONS = frozenset({"default", "description", "format", "writeOnly"})


def fitting(schema: JsonObject, root: JsonObject | None = None, name: str = "") -> st.SearchStrategy[Any]:
    """Values that fit the schema of the field `name`, ids of the sandbox's world among them.

    hypothesis-jsonschema fails with the hypothesis of today, and Schemathesis draws too slowly for this suite. This
    knows the keywords that are in use and stumbles over any other.
    """
    rules = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    match rules:
        case {"$ref": str(reference), **rest} if root is not None and not rest:
            return fitting(_target(reference, root), root, name)
        case {"anyOf": [*branches], **rest} if not rest:
            return st.one_of([fitting(branch, root, name) for branch in branches])
        case {"enum": [*choices]}:
            return st.sampled_from(choices)
        case {"type": [*types], **rest}:
            return st.one_of([fitting({"type": each, **rest}, root, name) for each in types])
        case {"type": kind, **rest}:
            drawn = _KINDS[kind](rest, root)
            return st.sampled_from(KNOWN[name]) | drawn if name in KNOWN else drawn
        case _:
            raise NotImplementedError(f"{name}: {schema}")


def _target(reference: str, root: JsonObject) -> JsonObject:
    for step in reference.removeprefix("#/").split("/"):
        root = root[step]
    return root


def _string(rest: JsonObject, _: JsonObject | None) -> st.SearchStrategy[str]:
    least, most = int(rest.pop("minLength", 0)), int(rest.pop("maxLength", 100))
    pattern: str | None = rest.pop("pattern", None)
    _nothing_left(rest)
    if pattern is None:
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=min(most, 30))
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: least <= len(text) <= most)


def _integer(rest: JsonObject, _: JsonObject | None) -> st.SearchStrategy[int]:
    drawn = st.integers(rest.pop("minimum", None), rest.pop("maximum", None))
    _nothing_left(rest)
    return drawn


def _number(rest: JsonObject, _: JsonObject | None) -> st.SearchStrategy[float]:
    drawn = st.floats(rest.pop("minimum", -1e9), rest.pop("maximum", 1e9))
    _nothing_left(rest)
    return drawn


def _array(rest: JsonObject, root: JsonObject | None) -> st.SearchStrategy[list[Any]]:
    items = rest.pop("items")
    _nothing_left(rest)
    return st.lists(fitting(items, root), max_size=3)


def _object(rest: JsonObject, root: JsonObject | None) -> st.SearchStrategy[JsonObject]:
    fields: JsonObject = rest.pop("properties", {})
    required, closed = rest.pop("required", []), rest.pop("additionalProperties", None)
    _nothing_left(rest)
    if not fields and closed is not False:
        return st.dictionaries(_TEXTS, _SCALARS, max_size=3)
    drawn = {name: fitting(schema, root, name) for name, schema in fields.items()}
    optional = {name: drawn.pop(name) for name in fields if name not in required}
    return st.fixed_dictionaries(drawn, optional=optional)


def _nothing_left(rest: JsonObject) -> None:
    if rest:
        raise NotImplementedError(f"unknown keywords: {rest}")


_KINDS: Mapping[str, Callable[[JsonObject, JsonObject | None], st.SearchStrategy[Any]]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda rest, _: st.booleans(),
    "null": lambda rest, _: st.none(),
    "array": _array,
    "object": _object,
}


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


def errors_of(value: Any, schema: JsonObject, root: JsonObject | None = None) -> list[str]:
    """What is wrong with the value, one line each; references of the schema point into `root`."""
    validator = jsonschema.Draft202012Validator({**(root or {}), **schema})
    problems = validator.iter_errors(value)  # pyright: ignore[reportUnknownMemberType] reason: its types are partial
    return [problem.message for problem in problems]
