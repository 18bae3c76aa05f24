"""A scripted assistant: it knows the prompt's text, the tools as they are listed, and what they answer. Nothing else.

It provisions as the prompt says: takes the first suitable option of each kind that the prompt names, puts its value
where the option says, runs dry_run, and does what each finding's fix says, until only what the user accepts is left.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mcp import Client
from mcp_types import CallToolResult, TextContent

PROMPT = "provision_platform"
MAX_ROUNDS = 6
MAX_WAITS = 80

_CALL = re.compile(r"(\w+)\(([^)]*)\)")
_ARGUMENT = re.compile(r'(\w+)="([^"]*)"')
_STEP = re.compile(r"^\d+\. .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a dry run found: a check that failed, or a field that is missing, and what mends it."""

    name: str
    fix: str


@dataclass
class Assistant:
    """Provisions one platform. `user` is what the person answers when asked for a field, `accepts` the checks whose
    inferred failure they are told of and take."""

    client: Client
    user: Mapping[str, Any]
    accepts: frozenset[str] = frozenset()
    request: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    # What it has seen: every answer of a tool that tells something, and the options of each kind.
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    options: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    # By the object of the request that a step of the prompt is about: the kinds of options that it names.
    _kinds: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _tools: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _parts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    async def read_up(self) -> None:
        """Read the prompt and the list of tools."""
        listed = (await self.client.list_tools()).tools
        self._tools = {tool.name: tool.input_schema["properties"] for tool in listed}
        create = self._tools["create_platform"]
        self._parts = {name: about["properties"] for name, about in create.items() if "properties" in about}
        (message,) = (await self.client.get_prompt(PROMPT)).messages
        assert isinstance(message.content, TextContent)
        kind = re.compile(r"\b(" + "|".join(self._tools["find_options"]["kind"]["enum"]) + r")\b")
        first = next(iter(self._parts))
        for step in _STEP.findall(message.content.text):
            owner = next((part for part in self._parts if part in step), first)
            self._kinds.setdefault(owner, []).extend(kind.findall(step))

    async def gather(self, *, new_cluster: bool) -> None:
        """Choose what the prompt's steps say, then what a dry run still misses."""
        first, *others = self._parts
        for part in others if new_cluster else [first]:
            await self._fill(part)
        await self.mend(await self.look())

    async def look(self) -> list[Finding]:
        """What a dry run finds, without what the user accepts."""
        result = await self._call("create_platform", {**self.request, "dry_run": True})
        if result.is_error:
            gaps = re.findall(r"^([\w.]+): (.+)$", _text(result), re.MULTILINE)
            return [Finding(name, fix) for name, fix in gaps if "." in name]
        checks = cast("dict[str, Any]", result.structured_content)["plan"]["checks"]
        failed = [Finding(check["name"], check.get("fix", "")) for check in checks if check["finding"] == "fail"]
        return [finding for finding in failed if finding.name not in self.accepts]

    async def mend(self, findings: list[Finding]) -> None:
        """Do what the fixes say, and look again, until nothing is left."""
        for _ in range(MAX_ROUNDS):
            if not findings:
                return
            for finding in findings:
                await self._follow(finding)
            findings = await self.look()
        raise AssertionError(f"it does not get on: {findings}")

    async def create(self) -> dict[str, Any]:
        """Create it; the person decides in their own form. Returns the result."""
        result = await self._call("create_platform", self.request)
        assert not result.is_error, _text(result)
        return cast("dict[str, Any]", result.structured_content)

    async def wait(self, release_id: str) -> dict[str, Any]:
        """Wait as long as the tool says that it is worth it. Returns its last answer."""
        for _ in range(MAX_WAITS):
            result = await self._call("wait_for_platform", {"release_id": release_id})
            waited = cast("dict[str, Any]", result.structured_content)
            if "call wait_for_platform again" not in waited["next"]:
                return waited
        raise AssertionError("it waits for ever")

    async def _follow(self, finding: Finding) -> None:
        """Do what stands first in a fix: a call, a whole part to add, or a field to ask the user for."""
        if calls := _CALL.findall(finding.fix):
            name, given = calls[0]
            asked = self._field_in(finding.fix.partition(f"{name}(")[0])
            if asked is None:
                arguments = dict(_ARGUMENT.findall(given))
                await self._choose(arguments.pop("kind"), **arguments)
                return
        if "list_images" in finding.fix:
            await self._choose_image()
            return
        if part := next((part for part in self._parts if f"add {part}" in finding.fix), None):
            await self._fill(part)
            return
        # "choose another; check_platform_name tells" is about what that tool takes.
        tool = next((name for name in self._tools if name in finding.fix), "")
        path = finding.name if "." in finding.name else self._field_in(finding.fix)
        path = path or self._field_in(" ".join(self._tools.get(tool, {})))
        assert path, f"what to do? {finding}"
        self._put(path, self.user[path.partition(".")[2]])

    def _field_in(self, text: str) -> str | None:
        """The field of the request that a text names."""
        words = set(re.findall(r"[\w.]+", text))
        paths = [f"{part}.{name}" for part, about in self._parts.items() for name in about]
        return next((path for path in paths if path in words or path.partition(".")[2] in words), None)

    async def _fill(self, part: str) -> None:
        for kind in self._kinds.get(part, []):
            await self._choose(kind)

    async def _choose(self, kind: str, **given: str) -> None:
        """Take the first suitable option, other than the present one, judged by what is chosen already."""
        chosen = {name: value for fields in self.request.values() for name, value in fields.items()}
        known = {name: chosen[name] for name in self._tools["find_options"] if isinstance(chosen.get(name), str)}
        result = await self._call("find_options", {**known, **given, "kind": kind})
        options = self.options[kind] = cast("dict[str, Any]", result.structured_content)["options"]
        for option in options:
            present = all(_is_in(self.request, path, value) for path, value in option["sets"].items())
            if not option.get("unsuitable") and not present:
                for path, value in option["sets"].items():
                    self._put(path, value)
                return

    async def _choose_image(self) -> None:
        images = cast("dict[str, Any]", (await self._call("list_images", {})).structured_content)["contents"]
        kind = self.user["ai_ml_ops_platform_type"]
        image = next(each for each in images if each.get("product_type") == kind)
        self._put(f"{next(iter(self._parts))}.image_id", image["image_id"])

    def _put(self, path: str, value: Any) -> None:
        part, _, name = path.partition(".")
        is_list = self._parts[part][name].get("type") == "array"
        self.request.setdefault(part, {})[name] = [value] if is_list else value

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        result = await self.client.call_tool(name, dict(arguments))
        if name != "create_platform":  # a plan repeats what it was given
            self.answers.append(cast("dict[str, Any]", result.structured_content or {}))
        return result


def _is_in(request: Mapping[str, Mapping[str, Any]], path: str, value: str) -> bool:
    part, _, name = path.partition(".")
    return request.get(part, {}).get(name) in (value, [value])


def _text(result: CallToolResult) -> str:
    return " ".join(content.text for content in result.content if isinstance(content, TextContent))


def words_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            yield from words_in(each)
    elif isinstance(value, list | tuple):
        for each in cast("list[Any]", value):
            yield from words_in(each)
