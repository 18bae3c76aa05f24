"""The twelve operations as the OpenAPI document that a proxy wants."""

from typing import Any

from aimlops_tools import OPERATIONS
from aimlops_tools.schema import answer_schema, request_schema


def document(url: str) -> dict[str, Any]:
    """OpenAPI 3.1, as much of it as a proxy reads; the API is at `url`."""
    paths: dict[str, dict[str, Any]] = {}
    for name, operation in OPERATIONS.items():
        schema = request_schema(operation)
        fields: dict[str, Any] = schema["properties"]
        required: list[str] = schema.get("required", [])
        in_path = operation.spec.path_names
        has_body = operation.spec.method in {"POST", "PUT"}
        answer = operation.answer()
        described: dict[str, Any] = {
            "operationId": name,
            "description": " ".join((operation.__doc__ or "").split()),
            "parameters": [
                {
                    "name": field,
                    "in": "path" if field in in_path else "query",
                    "required": field in in_path or field in required,
                    "schema": fields[field],
                }
                for field in fields
                if field in in_path or not has_body
            ],
            "responses": {
                str(operation.spec.status): {
                    "description": "done",
                    **({"content": _json(answer_schema(answer))} if answer else {}),
                }
            },
        }
        if has_body:
            body = {field: value for field, value in fields.items() if field not in in_path}
            wanted = [field for field in required if field in body]
            described["requestBody"] = {
                "required": True,
                "content": _json({"type": "object", "properties": body, "required": wanted}),
            }
        paths.setdefault(operation.spec.path, {})[operation.spec.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "AI&MLOps Platform", "version": "1.1"},
        "servers": [{"url": url}],
        "paths": paths,
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
