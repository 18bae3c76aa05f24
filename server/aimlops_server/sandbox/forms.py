"""Whether a query and a body have the declared form: fields, types, what is required.

Read from the declared request models, yet more tolerant than they are, as the service is: unknown fields are ignored
and an empty text in an optional field is no value. Knows no state. Like the service, an error never names the field.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qsl

from aimlops_tools import Operation, platforms
from aimlops_tools.operation import Arguments, Since
from pydantic import JsonValue

from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.replies import Refusal

JsonObject = dict[str, JsonValue]

# Optional, but null is refused; every other optional field of a body may be null.
NOT_NULLABLE = frozenset(
    {
        ("AiMLOpsPlatformCreateRequest", "tags"),
        ("KubernetesEngineCreateRequest", "cloud_logging_enabled"),
        ("KubernetesEngineCreateRequest", "private_acl_ip_resource"),
        ("NodePoolCreateRequest", "cluster_id"),
        ("NodePoolCreateRequest", "is_auto_recovery"),
        ("NodePoolCreateRequest", "is_auto_scale"),
        ("NodePoolCreateRequest", "kubernetes_version"),
    }
)
# cluster_id has an error text of its own, which a rule gives. What is declared of the password is how a caller names
# it; the service takes any text.
_OWN_FORMAT = frozenset({"cluster_id", "initial_user_password"})


def validation_error(*details: str) -> Refusal:
    return Refusal(400, "ValidationError", list(details))


def read_query(operation: type[Operation[Any]], raw_query: str, profile: Profile) -> JsonObject:
    """The declared query parameters, typed, with their defaults.

    Raises:
        Refusal: one is missing, empty though required, or malformed.
    """
    given = {name: text for name, text in reversed(parse_qsl(raw_query, keep_blank_values=True)) if text}
    schema = _schema(operation)
    values: JsonObject = {}
    errors: list[str] = []
    for name, field in _fields(schema):
        if name in operation.spec.path_names:
            continue
        if name in given:
            values[name] = _query_value(name, given[name], _not_null(field), profile, errors)
        elif name in _required(schema):
            errors.append("Field required")
        elif field.get("default") is not None:
            values[name] = field["default"]
    if errors:
        raise validation_error(*errors)
    return values


def read_body(operation: type[Operation[Any]], version: str, body: bytes, profile: Profile) -> JsonObject:
    """The body's declared fields; those newer than `version` are left out.

    Raises:
        Refusal: the body is no JSON object, or not of the declared form.
    """
    try:
        value = cast("JsonValue", json.loads(body))
    except (ValueError, RecursionError):
        raise validation_error("JSON decode error") from None
    schema = _schema(operation)
    form = _Form(schema, frozenset(operation.spec.path_names), _newer_than(version), profile)
    cleaned = form.read_object(value, schema, operation.__name__)
    if form.errors:
        raise validation_error(*form.errors)
    return cleaned


class _Form:
    """One reading of one body; collects what is wrong with it."""

    def __init__(
        self,
        schema: JsonObject,
        elsewhere: frozenset[str],
        newer: frozenset[tuple[str, str]],
        profile: Profile,
    ) -> None:
        self.errors: list[str] = []
        self._definitions = _object(schema.get("$defs", {}))
        self._elsewhere = elsewhere
        self._newer = newer
        self._profile = profile

    def read_object(self, value: JsonValue, schema: JsonObject, model: str) -> JsonObject:
        if not isinstance(value, dict):
            self.errors.append("Input should be a valid dictionary or object to extract fields from")
            return {}
        cleaned: JsonObject = {}
        for name, field in _fields(schema):
            if name in self._elsewhere:
                continue
            required = name in _required(schema)
            if name not in value:
                if required:
                    self.errors.append("Field required")
            elif (model, name) in self._newer:
                if self._profile.refuse_newer_fields:
                    self.errors.append("Extra inputs are not permitted")
            elif required or not _is_no_value(value[name], nullable=(model, name) not in NOT_NULLABLE):
                cleaned[name] = self._read_value(name, value[name], _not_null(field))
        return cleaned

    def _read_value(self, name: str, value: JsonValue, field: JsonObject) -> JsonValue:
        reference = field.get("$ref")
        if isinstance(reference, str):
            model = reference.rpartition("/")[2]
            return self.read_object(value, _object(self._definitions[model]), model)
        match field.get("type"):
            case "string":
                self._check_text(name, value, field)
            case "integer" if isinstance(value, bool) or not isinstance(value, int):
                self.errors.append("Input should be a valid integer")
            case "boolean" if not isinstance(value, bool):
                self.errors.append("Input should be a valid boolean")
            case "object" if not isinstance(value, dict):
                self.errors.append("Input should be a valid dictionary")
            case "array" if not isinstance(value, list):
                self.errors.append("Input should be a valid list")
            case "array":
                items = _object(field.get("items", {}))
                return [self._read_value(name, item, items) for item in cast("list[JsonValue]", value)]
            case _:
                pass
        return value

    def _check_text(self, name: str, value: JsonValue, field: JsonObject) -> None:
        if not isinstance(value, str):
            self.errors.append("Input should be a valid string")
            return
        shortest, longest = field.get("minLength", 0), field.get("maxLength")
        choices, pattern = field.get("enum"), field.get("pattern")
        if isinstance(choices, list) and value not in choices:
            self.errors.append(f"Input should be {_either(choices)}")
        elif isinstance(shortest, int) and len(value) < shortest:
            self.errors.append(f"String should have at least {shortest} character{'s' * (shortest > 1)}")
        elif isinstance(longest, int) and len(value) > longest:
            self.errors.append(f"String should have at most {longest} characters")
        elif isinstance(pattern, str) and name not in _OWN_FORMAT and not re.search(pattern, value):
            self.errors.append(f"String should match pattern '{pattern}'")


def _query_value(name: str, text: str, field: JsonObject, profile: Profile, errors: list[str]) -> JsonValue:
    choices = field.get("enum")
    if field.get("type") == "integer":
        if not re.fullmatch(r"-?[0-9]{1,9}", text):
            errors.append("Input should be a valid integer, unable to parse string as an integer")
            return None
        number, least, most = int(text), field.get("minimum"), field.get("maximum")
        if isinstance(least, int) and number < least:
            errors.append(f"Input should be greater than or equal to {least}")
        if isinstance(most, int) and number > most:
            # The real limit is not documented: the declared one is stricter than none.
            errors.append(f"Input should be less than or equal to {most}")
        return number
    if field.get("type") == "boolean":
        if text.lower() not in {"true", "false", "1", "0"}:
            errors.append("Input should be a valid boolean, unable to interpret input")
        return text.lower() in {"true", "1"}
    if isinstance(choices, list):
        value = text.lower() if profile.any_case_product_type else text
        if value not in choices:
            errors.append(f"{name} [{'|'.join(map(str, choices))}]")
        return value
    return text


def _is_no_value(value: JsonValue, *, nullable: bool) -> bool:
    return value == "" or (value is None and nullable)


def _either(choices: list[JsonValue]) -> str:
    *others, last = (f"'{choice}'" for choice in choices)
    return f"{', '.join(others)} or {last}" if others else last


@cache
def _schema(operation: type[Operation[Any]]) -> JsonObject:
    return operation.model_json_schema()


@cache
def _newer_than(version: str) -> frozenset[tuple[str, str]]:
    """The fields, by model, that came after this version."""
    models = [item for item in vars(platforms).values() if isinstance(item, type) and issubclass(item, Arguments)]
    return frozenset(
        (model.__name__, name)
        for model in models
        for name, info in model.model_fields.items()
        if any(isinstance(mark, Since) and _numbers(mark) > _numbers(version) for mark in info.metadata)
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _fields(schema: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    for name, field in _object(schema.get("properties", {})).items():
        yield name, _object(field)


def _required(schema: JsonObject) -> list[JsonValue]:
    return cast("list[JsonValue]", schema.get("required", []))


def _not_null(field: JsonObject) -> JsonObject:
    """The alternative that is not null: the models write "may be left out" as "or null"."""
    alternatives = [_object(choice) for choice in cast("list[JsonValue]", field.get("anyOf", []))]
    return next((choice for choice in alternatives if choice.get("type") != "null"), field)


def _object(value: JsonValue) -> JsonObject:
    return cast("JsonObject", value)
