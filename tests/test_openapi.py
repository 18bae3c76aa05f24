"""The OpenAPI document is the operations', it is one, and the sandbox keeps to it."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, cast
from urllib.parse import quote, urlencode

import anyio
import httpx2
import pytest
from aimlops_server.sandbox.app import ACCESS_KEY, SECRET_KEY, Sandbox
from aimlops_server.sandbox.faults import parse
from aimlops_server.sandbox.profile import Profile
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_server.signing import Keys, sign
from aimlops_tools import OPERATIONS
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from openapi_spec_validator import validate
from pydantic import SecretStr
from schemathesis import Case, GenerationMode

from tests.fuzzing import EXAMPLE_CALLS, as_read, drawn, errors_of, spoiled_calls
from tests.openapi import OPENAPI_JSON, VERSION_HEADER, openapi_document
from tests.world import ENDPOINT, Clock

JsonObject = dict[str, Any]

DOCUMENT: JsonObject = json.loads(OPENAPI_JSON.read_text("utf-8"))
COMPONENTS: JsonObject = DOCUMENT["components"]
DRAWN = drawn(DOCUMENT)
KEYS = Keys(ACCESS_KEY, SecretStr(SECRET_KEY))
CALLS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_the_document_is_valid_and_fresh() -> None:
    """`make openapi` renews it."""
    validate(DOCUMENT)
    assert openapi_document() == DOCUMENT


def call_schema(name: str) -> JsonObject:
    """All that a call can give, in one object: the parameters but the version's, and the fields of the body."""
    _, _, described = CALLS[name]
    parameters = [each for each in described["parameters"] if each["name"] != VERSION_HEADER]
    body: JsonObject = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return {
        "type": "object",
        "properties": {each["name"]: each["schema"] for each in parameters} | body.get("properties", {}),
        "required": [each["name"] for each in parameters if each["required"]] + body.get("required", []),
    }


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_typed(text: str, schema: JsonObject) -> object:
    """What the text in a URL stands for, if it stands for anything of the schema's type."""
    if schema["type"] == "integer":
        return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else text
    if schema["type"] == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return text


class Call:
    """A request of the operation `name`; `fits` tells whether the document allows it. Bytes are no JSON."""

    def __init__(self, name: str, parameters: Mapping[str, Any], body: Any) -> None:
        self.method, path, described = CALLS[name]
        schema = call_schema(name)
        places: dict[str, str] = {each["name"]: each["in"] for each in described["parameters"]}
        texts = {key: as_text(value) for key, value in parameters.items() if key in places and value not in (None, "")}
        for key in [key for key, place in places.items() if place == "path"]:
            # No client can send these: they are another path.
            texts[key] = texts.get(key, "-").replace(".", "-")
            path = path.replace("{" + key + "}", quote(texts[key], safe=""))
        query = urlencode({key: text for key, text in texts.items() if places[key] == "query"}, quote_via=quote)
        self.target = f"{path}?{query}" if query else path
        if "requestBody" in described:
            self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        else:
            self.body, body = None, {}
        read: JsonObject = as_read(cast("JsonObject", body), schema, DOCUMENT) if isinstance(body, dict) else {}
        read |= {key: as_typed(text, schema["properties"][key]) for key, text in texts.items()}
        self.fits = isinstance(body, dict) and not errors_of(read, schema, DOCUMENT)

    @classmethod
    def of_fields(cls, name: str, given: Mapping[str, Any]) -> "Call":
        """The fields by their names alone, wherever each belongs."""
        places = {each["name"] for each in CALLS[name][2]["parameters"]}
        body = {key: value for key, value in given.items() if key not in places}
        return cls(name, {key: value for key, value in given.items() if key in places}, body)

    @classmethod
    def of_case(cls, name: str, case: Case[Any]) -> "Call":
        return cls(name, {**(case.path_parameters or {}), **(case.query or {})}, case.body)

    def __repr__(self) -> str:
        return f"{self.method} {self.target} {self.body}"


async def send(
    sandbox: Sandbox, call: Call, clock: Clock, headers: Mapping[str, str | None] | None = None
) -> httpx2.Response:
    """The answer to the signed call; `headers` replaces some, None leaves one out."""
    given = sign(KEYS, call.method, ENDPOINT + call.target, clock.ms()) | dict(headers or {})
    sent = {name: value for name, value in given.items() if value is not None}
    async with httpx2.AsyncClient(transport=SandboxTransport(sandbox)) as client:
        return await client.request(call.method, ENDPOINT + call.target, headers=sent, content=call.body)


def assert_documented(name: str, response: httpx2.Response) -> None:
    described = CALLS[name][2]["responses"][str(response.status_code)]
    if "$ref" in described:
        described = COMPONENTS["responses"][described["$ref"].rpartition("/")[2]]
    if "content" not in described:
        assert (response.content, response.headers.get("content-type")) == (b"", None)
        return
    ((kind, body),) = described["content"].items()
    assert response.headers["content-type"].split(";")[0] == kind
    answer: object = response.json() if kind == "application/json" else response.text
    assert errors_of(answer, body["schema"], DOCUMENT) == []


@pytest.mark.parametrize("name", CALLS)
def test_the_sandbox_answers_as_documented_whatever_is_asked(name: str) -> None:
    """What does not fit the document is refused as malformed, and nothing makes the sandbox fail."""
    of_case, of_fields = partial(Call.of_case, name), partial(Call.of_fields, name)
    example = st.just(EXAMPLE_CALLS[name])
    good = example.map(of_fields) | DRAWN[name][GenerationMode.POSITIVE].map(of_case)
    bad = spoiled_calls(example).map(of_fields) | DRAWN[name][GenerationMode.NEGATIVE].map(of_case)
    versions: list[str] = CALLS[name][2]["parameters"][0]["schema"]["enum"]
    statuses: Counter[int] = Counter()

    @limits(max_examples=40, derandomize=True, database=None)
    @given(st.tuples(good, st.sampled_from(versions)) | st.tuples(bad, st.none()))
    def fuzz(given: tuple[Call, str | None]) -> None:
        (call, version), clock = given, Clock()
        response = anyio.run(send, Sandbox(clock_s=clock), call, clock, {VERSION_HEADER: version})
        assert_documented(name, response)
        assert response.status_code < 500
        if version is None and not call.fits:
            assert response.status_code == 400
        statuses[response.status_code] += 1

    fuzz()
    assert statuses[OPERATIONS[name].spec.status] > 0
    assert statuses[400] > 0


# What the service says before it looks at a request, or in place of it: the document is true of that too.
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_ordered_failure_looks_as_documented(status: int) -> None:
    clock = Clock()
    sandbox = Sandbox(clock_s=clock)
    sandbox.faults.add(parse(f"GET:status={status}"))

    response = anyio.run(send, sandbox, Call.of_fields("list_platforms", {}), clock)

    assert response.status_code == status
    assert_documented("list_platforms", response)


@pytest.mark.parametrize(
    ("status", "profile", "headers"),
    [
        (401, Profile(), {"Scp-Signature": "bm9uZQ=="}),
        (401, Profile(product_enabled=False), {}),
        (403, Profile(denied=frozenset({"list_platforms"})), {}),
        (404, Profile(), {"Scp-Signature": None, "Scp-Accesskey": None}),
        (406, Profile(), {VERSION_HEADER: "aimlops-platform 9.9"}),
        (417, Profile(burst_limit=0), {}),
    ],
)
def test_a_refusal_before_the_operation_looks_as_documented(
    status: int, profile: Profile, headers: dict[str, str | None]
) -> None:
    clock = Clock()
    sandbox = Sandbox(clock_s=clock, profile=profile)

    response = anyio.run(send, sandbox, Call.of_fields("list_platforms", {}), clock, headers)

    assert response.status_code == status
    assert_documented("list_platforms", response)
