"""Guided procedures: functions from arguments to text. Knows the tools by name only, and nothing of MCP or HTTP."""

from aimlops_prompts import decommission, endpoint, provision, readiness
from aimlops_prompts.prompt import PROMPTS, Argument, Prompt

__all__ = ["PROMPTS", "Argument", "Prompt", "decommission", "endpoint", "provision", "readiness"]
