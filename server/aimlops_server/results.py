"""What a tool call answers with: structured content, and the same as compact JSON text."""

from collections.abc import Sequence
from typing import Any, cast

from aimlops_tools.fields import Listing
from aimlops_tools.operation import Answer
from mcp_types import CallToolResult, TextContent
from pydantic_core import to_json

MAX_ITEMS_SHOWN = 100


def result(data: dict[str, Any]) -> CallToolResult:
    """A call that went well."""
    written = to_json(data).decode()
    return CallToolResult(content=[text(written)], structured_content=data)


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def as_data(answer: Answer) -> dict[str, Any]:
    """The answer without empty fields, and no more than MAX_ITEMS_SHOWN items even if the service ignores `size`."""
    data = answer.model_dump(mode="json", exclude_none=True)
    if isinstance(answer, Listing):
        listing = cast("Listing[Any]", answer)
        data[listing.items_field] = cast("Sequence[Any]", data.get(listing.items_field, []))[:MAX_ITEMS_SHOWN]
    return data
