"""The declarations say what the vendor's reference says; every difference is one of those listed here.

contract.json holds the reference's facts: operations, parameters, models, without its prose.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from aimlops_server.settings import REGIONS, Settings
from aimlops_tools import OPERATIONS, Operation
from aimlops_tools.operation import Answer, Arguments
from aimlops_tools.schema import answer_schema, request_schema
from pydantic import BaseModel, ValidationError

JsonObject = dict[str, Any]
Facts = dict[str, object]

CONTRACT: JsonObject = json.loads((Path(__file__).parent / "contract.json").read_text("utf-8"))
MODELS: dict[str, dict[str, JsonObject]] = CONTRACT["models"]
ANSWERS = {op["answer"]: op["status"] for op in CONTRACT["operations"] if op["answer"]}

# Our spelling -> the reference's.
SPELLING = {"AiMlOpsPlatformDomainServiceRequest": "AiMlOpsPlatformDomainServiceReuqest"}
LIMITS = {
    "pattern": "pattern",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minimum": "minimum",
    "maximum": "maximum",
    "enum": "enum",
    "format": "format",
}

PLATFORMS = "/v1/aimlops-platform"
CREATE, ENGINE, POOL = "AiMLOpsPlatformCreateRequest", "KubernetesEngineCreateRequest", "NodePoolCreateRequest"
DNS = "AiMlOpsPlatformDomainServiceReuqest"
CLUSTER_READS = tuple(
    f"GET {PLATFORMS}/{rest}"
    for rest in (
        "clusters/{cluster_id}/check-version",
        "clusters/{cluster_id}/validate-namespaces",
        "clusters/{cluster_id}/validate-resources",
        "internal/clusters/{cluster_id}/nodes",
        "internal/clusters/{cluster_id}/storageclasses",
    )
)
PAGED = (f"GET {PLATFORMS}", f"GET {PLATFORMS}/images", f"GET {PLATFORMS}/internal/clusters/{{cluster_id}}/nodes")
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
HEX_PATTERN = r"^[0-9a-fA-F]{32}$"

# Reason -> where -> (the reference's fact, ours); None is "says nothing".
DELIBERATE: Mapping[str, Mapping[str, tuple[object, object]]] = {
    "1.2 is live since 2026-09-18 and newer than the reference; the two internal lists are not in it": {
        f"{call}.versions": (("1.0", "1.1"), ("1.0", "1.1", "1.2"))
        for call in (f"{op['method']} {op['path']}" for op in CONTRACT["operations"] if "1.1" in op["versions"])
    },
    "zone is the one field that 1.2 adds": {
        f"{POOL}.zone.type": (None, "string"),
        f"{POOL}.zone.required": (None, False),
    },
    "an id is one path segment and nothing else": {
        f"{method} {PLATFORMS}/{{release_id}}.release_id.pattern": (None, ID_PATTERN)
        for method in ("GET", "PUT", "DELETE")
    },
    "the service answers 400 to a cluster id that is not 32 hex digits": {
        **{f"{call}.cluster_id.pattern": (None, HEX_PATTERN) for call in CLUSTER_READS},
        f"{CREATE}.cluster_id.pattern": (None, HEX_PATTERN),
    },
    "a page has at least one item, at most 100 to keep an answer readable, and pages count from 0": {
        f"{call}.{fact}": (None, limit)
        for call in PAGED
        for fact, limit in (("size.minimum", 1), ("size.maximum", 100), ("page.minimum", 0), ("sort.min_length", 1))
    },
    "the service answers 400 to a required text that is empty": {
        **{
            f"{where}.min_length": (None, 1)
            for where in (
                f"GET {PLATFORMS}/check-duplication.release_name",
                f"GET {PLATFORMS}/clusters/{{cluster_id}}/check-version.version",
                f"{CREATE}.image_id",
                f"{CREATE}.release_name",
            )
        },
        **{f"{ENGINE}.{name}.min_length": (None, 1) for name in ("k8s_version", "subnet_id", "volume_id", "vpc_id")},
        **{
            f"{POOL}.{name}.min_length": (None, 1)
            for name in (
                "image_os",
                "image_os_version",
                "keypair_name",
                "name",
                "server_type_id",
                "volume_type_name",
            )
        },
    },
    "the choices stand in the reference's prose": {
        f"{CREATE}.ai_ml_ops_platform_type.enum": (None, ("Enterprise", "Mini")),
        f"{CREATE}.ai_ml_ops_platform_endpoint_type.enum": (None, ("Public", "Private")),
        f"{CREATE}.node_type.enum": (None, ("vm", "bm")),
        "AiMlOpsPlatformUpdateRequest.ai_ml_ops_platform_endpoint_type.enum": (None, ("Public", "Private")),
        f"{DNS}.operation_type.enum": (None, ("CREATE", "UPDATE", "DELETE")),
    },
    "the live check takes these two spellings alone": {
        f"GET {PLATFORMS}/clusters/{{cluster_id}}/validate-resources.product_type.enum": (None, ("enterprise", "mini")),
    },
    "the password is given by reference alone": {
        f"{CREATE}.initial_user_password.pattern": (
            None,
            r"^(env:SCP_MCP_SECRET_[A-Z0-9_]{1,64}|file:[A-Za-z0-9][A-Za-z0-9._-]{0,99})$",
        ),
    },
    "an icon is a picture: it is a resource of its own, not text in a result": {
        "AiMlOpsPlatformImagesResponse.icon_file.type": ("string", None),
        "AiMlOpsPlatformImagesResponse.icon_file.required": (False, None),
    },
    "a time is shown as the service wrote it, not parsed": {
        f"{model}.{name}.format": ("date-time", None)
        for model in ("AiMlOpsPlatformDetailResponse", "AiMlOpsPlatformImagesResponse", "KubeflowResponse")
        for name in ("created_dt", "modified_dt")
    },
}


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def type_of(node: JsonObject, inner: list[type[BaseModel]]) -> str:
    name = inner[0].__name__ if inner else ""
    if node["type"] == "array":
        return f"array[{name or node['items']['type']}]"
    return SPELLING.get(name, name) or node["type"]


def limits_of(node: JsonObject) -> Iterator[tuple[str, object]]:
    for key, fact in LIMITS.items():
        if key in node:
            yield fact, tuple(node[key]) if key == "enum" else node[key]


def declared_fields(where: str, model: type[BaseModel], schema: JsonObject, names: list[str]) -> Facts:
    """The facts of these fields, and of every model inside them."""
    facts: Facts = {}
    for name in names:
        info = model.model_fields[name]
        node: JsonObject | None = schema["properties"].get(name)
        if node is None:
            assert info.exclude, f"{where}.{name} is in no schema"
            continue
        inner = list(models_in(info.annotation))
        assert (name in schema.get("required", ())) is info.is_required()
        facts[f"{where}.{name}.type"] = type_of(node, inner)
        facts[f"{where}.{name}.required"] = info.is_required()
        facts.update({f"{where}.{name}.{fact}": value for fact, value in limits_of(node)})
        if "default" in node:
            facts[f"{where}.{name}.default"] = node["default"]
        for part in inner:
            facts |= declared_model(part)
    return facts


def declared_model(model: type[BaseModel], name: str | None = None) -> Facts:
    schema = answer_schema(model) if issubclass(model, Answer) else request_schema(model)
    fields = list(model.model_fields)
    return declared_fields(name or SPELLING.get(model.__name__, model.__name__), model, schema, fields)


def declared_operation(operation: type[Operation[Any]], body: str | None) -> Facts:
    spec = operation.spec
    call = f"{spec.method} {spec.path}"
    answer = operation.answer()
    in_path = list(spec.path_names)
    elsewhere = [name for name in operation.model_fields if name not in in_path]
    facts: Facts = {
        f"{call}.versions": spec.versions,
        f"{call}.status": spec.status,
        f"{call}.section": spec.source,
        f"{call}.answer": answer.__name__ if answer else None,
        f"{call}.in": dict.fromkeys(in_path, "path") | ({} if body else dict.fromkeys(elsewhere, "query")),
    }
    schema = request_schema(operation)
    facts |= declared_fields(call, operation, schema, in_path)
    facts |= declared_fields(body or call, operation, schema, elsewhere)
    return facts | (declared_model(answer) if answer else {})


def reference_facts() -> Facts:
    facts: Facts = {}
    for op in CONTRACT["operations"]:
        call = f"{op['method']} {op['path']}"
        parameters: dict[str, JsonObject] = op["parameters"]
        facts |= {
            f"{call}.versions": tuple(op["versions"]),
            f"{call}.status": op["status"],
            f"{call}.section": op["section"],
            f"{call}.answer": op["answer"],
            f"{call}.in": {name: parameter["in"] for name, parameter in parameters.items()},
        }
        facts |= reference_fields(call, parameters)
    for name, fields in MODELS.items():
        facts |= reference_fields(name, fields)
    return facts


def reference_fields(where: str, fields: dict[str, JsonObject]) -> Facts:
    # Nullable: a request leaves null out instead of sending it, and an answer may be null wherever it may be absent;
    # both are tested by behaviour, here and in test_arguments.py.
    return {
        f"{where}.{name}.{fact}": value
        for name, field in fields.items()
        for fact, value in field.items()
        if fact not in {"in", "nullable"}
    }


def declared_facts() -> Facts:
    bodies = {f"{op['method']} {op['path']}": op["body"] for op in CONTRACT["operations"]}
    facts: Facts = {}
    for operation in OPERATIONS.values():
        facts |= declared_operation(operation, bodies.get(f"{operation.spec.method} {operation.spec.path}"))
    return facts


def test_declarations_differ_from_the_reference_only_on_purpose() -> None:
    theirs, ours = reference_facts(), declared_facts()
    differences = {
        fact: (theirs.get(fact), ours.get(fact))
        for fact in theirs.keys() | ours.keys()
        if theirs.get(fact) != ours.get(fact)
    }

    assert differences == {fact: pair for facts in DELIBERATE.values() for fact, pair in facts.items()}


def test_every_operation_is_declared_once() -> None:
    calls = [(operation.spec.method, operation.spec.path) for operation in OPERATIONS.values()]
    assert sorted(calls) == sorted((op["method"], op["path"]) for op in CONTRACT["operations"])
    assert len(calls) == 12


def test_every_answer_model_is_the_references() -> None:
    declared = {answer.__name__ for operation in OPERATIONS.values() if (answer := operation.answer())}
    assert declared == set(ANSWERS)


def test_regions_and_address_are_the_references() -> None:
    assert {name: list(regions) for name, regions in REGIONS.items()} == CONTRACT["environments"]
    for environment, regions in CONTRACT["environments"].items():
        for region in regions:
            expected = CONTRACT["endpoint"].format(region=region, environment=environment)
            assert Settings.read(region=region, environment=environment).base_url == expected


SAMPLES: Mapping[str, object] = {"string": "text", "integer": 3, "boolean": True, "object": {"name": "value"}}


def sample(type_name: str) -> object:
    """A value of a type as the reference writes it."""
    if type_name.startswith("array["):
        return [sample(type_name[6:-1])]
    return SAMPLES[type_name] if type_name in SAMPLES else whole(type_name)


def whole(model: str) -> JsonObject:
    return {name: sample(field["type"]) for name, field in MODELS[model].items()}


def answer_class(name: str) -> type[Answer]:
    return next(a for operation in OPERATIONS.values() if (a := operation.answer()) and a.__name__ == name)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer_is_read_without_loss(name: str) -> None:
    given = whole(name)
    read = answer_class(name).model_validate_json(json.dumps(given))
    for item in given.get("contents", []):
        item.pop("icon_file", None)

    assert json.loads(read.model_dump_json()) == given


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("how", ["absent", "null"])
def test_an_answer_without_its_optional_parts_is_read(name: str, how: str) -> None:
    given = {
        field: sample(facts["type"]) if facts["required"] else None
        for field, facts in MODELS[name].items()
        if facts["required"] or how == "null"
    }
    read = answer_class(name).model_validate_json(json.dumps(given))

    assert read.model_dump(exclude_none=True).keys() == {f for f, facts in MODELS[name].items() if facts["required"]}


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name in ANSWERS for field, facts in MODELS[name].items() if facts["required"]]
)
def test_an_answer_without_a_required_part_is_not_read(name: str, field: str) -> None:
    given = whole(name)
    del given[field]
    with pytest.raises(ValidationError):
        answer_class(name).model_validate_json(json.dumps(given))


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_requests_forbid_and_answers_drop_what_is_unknown(operation: type[Operation[Any]]) -> None:
    for model in {operation, *(m for info in operation.model_fields.values() for m in models_in(info.annotation))}:
        assert issubclass(model, Arguments)
        assert (model.model_config.get("extra"), model.model_config.get("frozen")) == ("forbid", True)
    answer = operation.answer()
    if answer:
        read = answer.model_validate({**whole(answer.__name__), "brand_new": 1})
        assert "brand_new" not in read.model_dump()


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_schemas_hold_no_reference_and_no_alternatives(operation: type[Operation[Any]]) -> None:
    answer = operation.answer()
    for schema in [request_schema(operation), *([answer_schema(answer)] if answer else [])]:
        assert not {"$ref", "$defs", "anyOf", "title"} & set(keys_in(schema))


def keys_in(node: object) -> Iterator[str]:
    """The keywords of a schema; the names of its fields are not keywords."""
    if isinstance(node, list):
        for item in cast("list[object]", node):
            yield from keys_in(item)
    if isinstance(node, dict):
        schema = cast("JsonObject", node)
        yield from schema
        for key, value in schema.items():
            for inner in value.values() if key == "properties" else [value]:
                yield from keys_in(inner)
