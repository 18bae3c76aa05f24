"""The API as an OpenAPI 3.1 document, made of the operation classes: the vendor publishes none.

`make openapi` writes docs/openapi.json. What no class declares stands here: how a request is signed, and what the
service answers when it says no.
"""

from itertools import chain, combinations
from typing import Any, cast

from aimlops_server.sandbox.forms import NOT_NULLABLE
from aimlops_server.settings import REGIONS, Settings
from aimlops_server.signing import Keys, sign
from aimlops_tools import OPERATIONS, Effect, Operation
from aimlops_tools.operation import API_VERSIONS, PRODUCT, Arguments, SecretMark
from pydantic import BaseModel, SecretStr
from pydantic.json_schema import models_json_schema

from tests.generate import ROOT, as_json

JsonObject = dict[str, Any]

OPENAPI_JSON = ROOT / "docs" / "openapi.json"
VERSION_HEADER = "Scp-Api-Version"
DESCRIPTION = """\
Samsung Cloud Platform's managed Kubeflow. The vendor publishes no machine-readable description; this one is generated
from the operations that scp-aimlops-mcp declares after the vendor's reference, independently of Samsung SDS.

The reference knows the statuses 400, 403 and 404 and no error bodies; all else about errors was observed of live
services. It knows the versions 1.0 and 1.1; 1.2 is live since 2026-09-18."""

_REFERENCES = "#/components/schemas/"
_SIGNED = {
    "Scp-Accesskey": "Access key",
    "Scp-Signature": "Base64 of HMAC-SHA256, keyed with the secret key, over method, whole URL as sent, timestamp, "
    "access key, account id and client type, without separators",
    "Scp-Timestamp": "Unix time in milliseconds",
    "Scp-ClientType": "Always Openapi",
    "Scp-AccountId": "Account id, signed when sent",
    "X-Auth-Token": "Temporary token",
}
_ERROR_SCHEMAS: JsonObject = {
    "Errors": {
        "description": "What the service itself answers. No field is named.",
        "type": "object",
        "properties": {"errors": {"type": "array", "minItems": 1, "items": {"$ref": _REFERENCES + "Error"}}},
        "required": ["errors"],
    },
    "Error": {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "title": {"type": "string"},
            "detail": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "status": {"type": "integer"},
            "request_id": {"type": "string"},
            "global_request_id": {"type": "string"},
            "links": {"type": "array"},
            "related_resources": {"type": "array"},
            "response": {"description": "With 403: action_name, the permission needed", "type": ["object", "null"]},
        },
        "required": ["code", "detail", "status"],
    },
    "FrameworkError": {
        "description": "An unknown path, a product that is not offered here, or no credentials.",
        "type": "object",
        "properties": {
            "timestamp": {"type": "string"},
            "path": {"type": "string"},
            "status": {"type": "integer"},
            "error": {"type": "string"},
            "requestId": {"type": "string"},
        },
        "required": ["timestamp", "path", "status", "error", "requestId"],
    },
    "GatewayError": {
        "description": "The product is not enabled for the account or the region.",
        "type": "object",
        "properties": {"status": {"type": "string"}, "name": {"type": "string"}, "message": {"type": "string"}},
        "required": ["status", "name", "message"],
    },
}
# By status: what it means, and what the body is: schemas of JSON, or a type of text.
_REFUSALS: dict[int, tuple[str, tuple[str, ...]]] = {
    400: ("Malformed; some refuse a wrong state with it too", ("Errors",)),
    401: ("The signature does not match, or the product is not enabled", ("Errors", "GatewayError")),
    403: ("Not permitted, or the quota is used up", ("Errors",)),
    404: ("Unknown, or sent without credentials", ("Errors", "FrameworkError")),
    406: ("This operation does not have the version asked for", ("Errors",)),
    409: ("The name is taken, or the state does not allow it", ("Errors",)),
    417: ("The edge firewall: too many calls at once", ("text/html",)),
    429: ("Too many calls; nothing was processed", ("text/plain",)),
    500: ("Failed, often for want of a value", ("Errors",)),
    502: ("The service could not be reached", ("text/plain",)),
    503: ("The service could not be reached", ("text/plain",)),
    504: ("The service could not be reached", ("text/plain",)),
}


def openapi_document() -> JsonObject:
    """The whole document."""
    schemas = _schemas()
    paths: dict[str, JsonObject] = {}
    for name, operation in OPERATIONS.items():
        request = schemas.pop(operation.__name__)
        paths.setdefault(operation.spec.path, {})[operation.spec.method.lower()] = _operation(name, operation, request)
    return {
        "openapi": "3.1.1",
        "info": {"title": "AI&MLOps Platform", "version": API_VERSIONS[-1], "description": DESCRIPTION},
        "servers": [_server(environment, regions) for environment, regions in REGIONS.items()],
        "security": _security(),
        "paths": paths,
        "components": {
            "schemas": schemas | _ERROR_SCHEMAS,
            "responses": {str(status): _refusal(*refusal) for status, refusal in _REFUSALS.items()},
            "securitySchemes": {
                name: {"type": "apiKey", "in": "header", "name": name, "description": description}
                for name, description in _SIGNED.items()
            },
        },
    }


def _server(environment: str, regions: tuple[str, ...]) -> JsonObject:
    url = Settings.model_construct(environment=environment, region=regions[0]).base_url
    return {
        "url": url.replace(regions[0], "{region}"),
        "description": f"Environment {environment}",
        "variables": {"region": {"default": regions[0], "enum": list(regions)}},
    }


def _security() -> list[JsonObject]:
    """The headers that every signed request has, with and without each of the others."""
    always = sign(Keys("", SecretStr("")), "GET", "", 0)
    others = [name for name in _SIGNED if name not in always]
    chosen = chain.from_iterable(combinations(others, count) for count in range(len(others) + 1))
    return [{name: [] for name in (*always, *more)} for more in chosen]


def _operation(name: str, operation: type[Operation[Any]], request: JsonObject) -> JsonObject:
    spec, answer = operation.spec, operation.answer()
    refusals = [status for status in _REFUSALS if status != 409 or spec.effect is not Effect.READ]
    fields: JsonObject = request.get("properties", {})
    has_body = spec.method in {"POST", "PUT"}
    described: JsonObject = {
        "operationId": name,
        "summary": operation.title(),
        "description": f"Section {spec.source} of the vendor's reference. Effect: {spec.effect}.",
        "parameters": [
            _version(spec.versions),
            *(
                _parameter(field, "path" if field in spec.path_names else "query", request)
                for field in fields
                if field in spec.path_names or not has_body
            ),
        ],
    }
    if has_body:
        in_body = [field for field in fields if field not in spec.path_names]
        required = [field for field in request["required"] if field in in_body]
        schema = {"type": "object", "properties": {field: fields[field] for field in in_body}}
        described["requestBody"] = {
            "required": True,
            "content": _json(schema | ({"required": required} if required else {})),
        }
    success: JsonObject = {"description": "Accepted" if spec.effect is not Effect.READ else "Answered"}
    if answer:
        success["content"] = _json({"$ref": _REFERENCES + answer.__name__})
    described["responses"] = {str(spec.status): success} | {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in refusals
    }
    return described


def _version(versions: tuple[str, ...]) -> JsonObject:
    return {
        "name": VERSION_HEADER,
        "in": "header",
        "description": "Left out: the newest, whatever it is by then",
        "schema": {"type": "string", "enum": [f"{PRODUCT} {version}" for version in versions]},
    }


def _parameter(name: str, place: str, request: JsonObject) -> JsonObject:
    # Nothing in a URL is null: it is left out.
    schema = _one_branch(request["properties"][name])
    description = schema.pop("description", None)
    return {
        "name": name,
        "in": place,
        "required": name in request.get("required", ()),
        **({"description": description} if description else {}),
        "schema": schema,
    }


def _refusal(description: str, bodies: tuple[str, ...]) -> JsonObject:
    if "/" in bodies[0]:
        return {"description": description, "content": {bodies[0]: {"schema": {"type": "string"}}}}
    schemas = [{"$ref": _REFERENCES + body} for body in bodies]
    return {"description": description, "content": _json(schemas[0] if len(schemas) == 1 else {"anyOf": schemas})}


def _json(schema: JsonObject) -> JsonObject:
    return {"application/json": {"schema": schema}}


def _schemas() -> dict[str, JsonObject]:
    """The schema of every operation, of the parts of its request and of its answer, by the class's name."""
    answers = [answer for operation in OPERATIONS.values() if (answer := operation.answer())]
    models: list[type[BaseModel]] = [*OPERATIONS.values(), *answers]
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCES + "{model}")
    schemas = {name: _tidy(schema) for name, schema in found["$defs"].items() if name != "JsonValue"}
    for model, field in NOT_NULLABLE:
        schemas[model]["properties"][field] = _one_branch(schemas[model]["properties"][field])
    for part in Arguments.__subclasses__():
        for field, info in part.model_fields.items():
            if any(isinstance(mark, SecretMark) for mark in info.metadata):
                # What is declared is how a caller of the tool names it; the service takes the secret itself.
                schemas[part.__name__]["properties"][field] = {
                    "type": ["string", "null"],
                    "format": "password",
                    "writeOnly": True,
                }
    return schemas


def _tidy(node: Any) -> Any:
    """Without pydantic's titles and null defaults, and open: the service ignores what it does not know."""
    if isinstance(node, list):
        return [_tidy(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _tidy(field) for name, field in value.items()} if key == "properties" else _tidy(value)
        for key, value in cast("JsonObject", node).items()
        if key not in {"title", "additionalProperties"} and not (key == "default" and value is None)
    }


def _one_branch(schema: JsonObject) -> JsonObject:
    """`X or null` becomes X."""
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch != {"type": "null"}]
    return {**branches[0], **{key: value for key, value in schema.items() if key != "anyOf"}}


def main() -> None:
    OPENAPI_JSON.write_text(as_json(openapi_document()), "utf-8")


if __name__ == "__main__":
    main()
