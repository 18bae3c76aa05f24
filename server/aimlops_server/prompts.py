"""The guided procedures as MCP prompts."""

from aimlops_prompts import PROMPTS
from aimlops_tools.text import plain
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

MAX_ARGUMENT_CHARS = 200


def list_prompts() -> ListPromptsResult:
    """What `prompts/list` answers."""
    return ListPromptsResult(
        prompts=[
            Prompt(
                name=prompt.name,
                title=prompt.title,
                description=prompt.description,
                arguments=[
                    PromptArgument(name=a.name, description=a.description, required=a.required)
                    for a in prompt.arguments
                ],
            )
            for prompt in PROMPTS.values()
        ]
    )


def get_prompt(params: GetPromptRequestParams) -> GetPromptResult:
    """The text of one procedure. A wrong name or argument is a protocol error that says what is right."""
    prompt = PROMPTS.get(params.name)
    if prompt is None:
        raise MCPError(INVALID_PARAMS, f"There is no prompt {plain(params.name, 80)}; there are: {', '.join(PROMPTS)}")
    given = {name: plain(value, MAX_ARGUMENT_CHARS) for name, value in (params.arguments or {}).items()}
    known = [argument.name for argument in prompt.arguments]
    if unknown := [name for name in given if name not in known]:
        raise MCPError(
            INVALID_PARAMS, f"{prompt.name} has no argument {plain(unknown[0], 80)}; it has: {', '.join(known)}"
        )
    if missing := [a.name for a in prompt.arguments if a.required and not given.get(a.name)]:
        raise MCPError(INVALID_PARAMS, f"{prompt.name} needs {', '.join(missing)}")
    message = PromptMessage(role="user", content=TextContent(type="text", text=prompt.text(**given)))
    return GetPromptResult(description=prompt.description, messages=[message])
