"""The OpenAPI document is the operations', and it is one."""

import json

from openapi_spec_validator import validate

from tests.openapi import OPENAPI_JSON, openapi_document


def test_the_document_is_valid_and_fresh() -> None:
    """`make openapi` renews it."""
    stored = json.loads(OPENAPI_JSON.read_text("utf-8"))
    validate(stored)
    assert stored == openapi_document()
