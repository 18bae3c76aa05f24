"""A create with gaps: what is missing, and the forms in which the user chooses it from what there really is.

A form asks for what one step needs; its choices depend on the steps before: the subnets of the VPC, the operating
systems for the server type. What was given in the call is never asked again and never changed.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

from aimlops_tools.lookup import Needs, Option, said
from aimlops_tools.models.images import ListImages
from aimlops_tools.models.neighbours import ENGINE, LOOKUPS, PLATFORM, POOL
from aimlops_tools.models.platforms import CreatePlatform
from mcp_types import ElicitRequestFormParams, ElicitResult
from pydantic import JsonValue

from aimlops_server.arguments import field_schema, problems_of, right_form, schema_of
from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, InvalidArguments, NotSent
from aimlops_server.guard.question import require_accept
from aimlops_server.neighbours import Neighbours
from aimlops_server.paging import walk
from aimlops_server.procedures.options import Choices, choices_of
from aimlops_server.wording import Wording

CLUSTER_ID = f"{PLATFORM}.cluster_id"
NEW_CLUSTER = "new"
# Each form: the fields it asks for, and how. Every required field of a create is here; a test holds it.
FORMS: tuple[dict[str, str], ...] = (
    {
        f"{PLATFORM}.release_name": "Name of the platform",
        f"{PLATFORM}.ai_ml_ops_platform_type": "Type: Enterprise, or the smaller Mini",
        f"{PLATFORM}.ai_ml_ops_platform_endpoint_type": "Dashboard: Public (internet) or Private (its VPC)",
        f"{PLATFORM}.initial_user_email": "Email of the first user, who logs in with it",
    },
    {f"{PLATFORM}.image_id": "Image", CLUSTER_ID: "Cluster"},
    {
        f"{ENGINE}.kubernetes_engine_name": "Name of the new cluster",
        f"{ENGINE}.k8s_version": "Kubernetes version",
        f"{ENGINE}.vpc_id": "VPC",
    },
    {
        f"{ENGINE}.subnet_id": "Subnet",
        f"{ENGINE}.security_group_id_list": "Security group",
        f"{ENGINE}.volume_id": "File storage (NFS)",
    },
    {
        f"{POOL}.name": "Name of the node pool",
        f"{POOL}.server_type_id": "Server type of each node",
        f"{POOL}.keypair_name": "Key pair for logging in to the nodes",
        f"{POOL}.volume_type_name": "Type of each node's disk",
    },
    {
        f"{POOL}.image_os": "Operating system of the nodes",
        f"{POOL}.image_os_version": "Its version",
        f"{POOL}.volume_size": "Size of each node's disk in GB",
        f"{POOL}.desired_node_count": "Number of nodes",
    },
)
# Fields that the API does without. They are asked for while a form is shown anyway; alone they are no gap.
OPTIONAL = frozenset({f"{PLATFORM}.ai_ml_ops_platform_endpoint_type", f"{PLATFORM}.initial_user_email"})
NODE_COUNT = f"{POOL}.desired_node_count"
MAX_CHOICES = 100
# For all forms together: the SDK's client follows ten rounds of one call, and six forms and the confirmation are seven.
MAX_TRIES = 3
# The revision from which a form can give each choice a title of its own.
TITLED_CHOICES = "2025-11-25"


@dataclass(slots=True)
class Draft:
    """A create being filled in. `given` are the arguments of the call, `arguments` the same with the answers.

    `asked` is the form that is out: each field, and the choices it has, None where any text will do.
    """

    given: dict[str, Any]
    api: ApiClient
    say: Wording
    arguments: dict[str, Any] = field(init=False)
    asked: dict[str, list[Option] | None] = field(default_factory=dict[str, list[Option] | None])
    _neighbours: Neighbours = field(init=False)
    _step: int = 0
    _tries: int = 1
    _problem: str = ""

    def __post_init__(self) -> None:
        self.arguments = deepcopy(self.given)
        self._neighbours = Neighbours(self.api, max_age_s=60.0)

    async def form(self, protocol_version: str) -> ElicitRequestFormParams | None:
        """The next form, None when nothing is missing any more."""
        while self._step < len(FORMS):
            missing = [path for path in FORMS[self._step] if path in _missing(self.arguments)]
            if missing:
                return await self._ask(missing, protocol_version)
            self._step += 1
        return None

    def take(self, answer: ElicitResult) -> None:
        """Fill in what the user chose. What cannot be is asked for once more.

        Raises:
            NotSent: the user declined, or gave MAX_TRIES answers that cannot be.
        """
        require_accept(answer.action, "form")
        content = answer.content or {}
        filled = deepcopy(self.arguments)
        wrong = [
            words for path, options in self.asked.items() if (words := _fill(filled, path, options, content, self.say))
        ]
        wrong += [problem.words for problem in problems_of(CreatePlatform, filled) if not problem.is_missing]
        self.asked = {}
        self._problem = "; ".join(wrong)
        if not wrong:
            self.arguments = filled
            self._step += 1
        elif self._tries == MAX_TRIES:
            raise NotSent(f"The user's answers cannot be: {self._problem}.", "tell the user what is right, call again")
        else:
            self._tries += 1

    async def _ask(self, paths: list[str], protocol_version: str) -> ElicitRequestFormParams:
        notes: list[str] = []
        covered: set[str] = set()  # by another field's choices, as an operating system's version is
        properties: dict[str, dict[str, Any]] = {}
        self.asked = {}
        for path in paths:
            if path not in covered:
                options = self.asked[path] = await self._options(path, notes)
                covered |= {each for option in options or () for each in option.sets}
                properties[_key(path)] = self._property(path, options, protocol_version)
        required = [_key(path) for path in self.asked if path not in OPTIONAL]
        lines = [self.say("A new platform: choose what is missing. Nothing is sent yet; you confirm the whole later.")]
        lines += [self.say("This cannot be: {problem}", problem=self._problem)] if self._problem else []
        return ElicitRequestFormParams(
            message="\n".join([*lines, *dict.fromkeys(notes)]),
            requested_schema={"type": "object", "properties": properties, "required": required},
        )

    async def _options(self, path: str, notes: list[str]) -> list[Option] | None:
        """What the field can be; None when any text can, or when it could not be read."""
        if path == f"{PLATFORM}.image_id":
            choices = await self._images()
        elif kind := kind_of(path):
            choices = await choices_of(self.api, self._neighbours, kind, {}, self._needs())
        else:
            return None
        notes += choices.notes
        # The best of each value: an operating system is listed once for each Kubernetes version.
        best: dict[str, Option] = {}
        for option in choices.options:
            if path in option.sets and self._agrees(option, path):
                best.setdefault(option.value, option)
        options = list(best.values())
        if path == CLUSTER_ID and (options or not choices.notes):
            first_unsuitable = sum(not option.unsuitable for option in options)
            new = Option(NEW_CLUSTER, self.say("a new cluster, built first and billed too"), {})
            options.insert(first_unsuitable, new)
        if len(options) > MAX_CHOICES:
            title = self.say(_TITLES[path])
            notes.append(
                self.say("{title}: {count} of {all} are listed.", title=title, count=MAX_CHOICES, all=len(options))
            )
        return options[:MAX_CHOICES] or None

    def _agrees(self, option: Option, path: str) -> bool:
        """Whether the option leaves the other fields that it fills as they were given."""
        return all(_at(self.arguments, each) in (None, "", part) for each, part in option.sets.items() if each != path)

    def _needs(self) -> Needs:
        def chosen(path: str) -> str:
            value = _at(self.arguments, path)
            return value if isinstance(value, str) else ""

        return Needs(
            today=self.api.today(),
            vpc_id=chosen(f"{ENGINE}.vpc_id"),
            kubernetes_version=chosen(f"{ENGINE}.k8s_version"),
            server_type_id=chosen(f"{POOL}.server_type_id"),
            endpoint_type=chosen(f"{PLATFORM}.ai_ml_ops_platform_endpoint_type"),
        )

    async def _images(self) -> Choices:
        try:
            images = await walk(self.api, ListImages(size=100))
        except AimlopsError as error:
            return Choices([], (error.happened,))
        wanted = str(_at(self.arguments, f"{PLATFORM}.ai_ml_ops_platform_type"))
        options: list[Option] = []
        for image in images:
            if image.image_id:
                kind = image.kind()
                label = f"{image.image_name} ({kind or '?'})"
                other = said("it is for {kind}, not {wanted}", kind=kind or "?", wanted=wanted)
                fits = kind in {wanted, None}
                options.append(
                    Option(image.image_id, label, {f"{PLATFORM}.image_id": image.image_id}, () if fits else (other,))
                )
        return Choices(sorted(options, key=lambda option: len(option.unsuitable)))

    def _property(self, path: str, options: list[Option] | None, protocol_version: str) -> dict[str, Any]:
        schema = field_schema(schema_of(CreatePlatform), path.split("."))
        title = self.say(_TITLES[path])
        if options is not None:
            values = [option.value for option in options]
            titles = [self._label(option) for option in options]
            if protocol_version >= TITLED_CHOICES:
                titled = [{"const": value, "title": label} for value, label in zip(values, titles, strict=True)]
                return {"type": "string", "title": title, "oneOf": titled}
            return {"type": "string", "title": title, "enum": values, "enumNames": titles}
        shown: dict[str, Any] = {"type": "integer" if schema.get("type") == "integer" else "string", "title": title}
        if "enum" in schema:
            return shown | {"enum": schema["enum"]}
        described = schema.get("items", schema).get("description") or schema.get("description")
        if path == CLUSTER_ID:
            described = self.say("an existing cluster's id, or {new}", new=NEW_CLUSTER)
        return shown | ({"description": described} if described else {})

    def _label(self, option: Option) -> str:
        if not option.unsuitable:
            return option.label
        reasons = "; ".join(self.say.again(each) for each in option.unsuitable)
        return f"{option.label} – {self.say('not suitable')}: {reasons}"


_TITLES = {path: title for form in FORMS for path, title in form.items()}


def has_gaps(arguments: dict[str, Any]) -> bool:
    """Whether a person has to choose something before these arguments make a create, and nothing in them is wrong."""
    if any(not problem.is_missing for problem in problems_of(CreatePlatform, arguments)):
        return False
    return any(path not in OPTIONAL and path != NODE_COUNT for path in _missing(arguments))


def gaps_error(arguments: dict[str, Any], why_not_asked: str) -> InvalidArguments:
    """Where nobody can be asked in a form: what is missing, each with the call that finds it."""
    vpc_id = _at(arguments, f"{ENGINE}.vpc_id")
    missing = _missing(arguments)
    if CLUSTER_ID in missing:
        missing += [path for path in _applicable({PLATFORM: {}, ENGINE: {}, POOL: {}}) if not path.startswith(PLATFORM)]
    lines = [f"{path}: {_finding(path, vpc_id)}" for path in missing]
    return InvalidArguments(
        f"Choices are missing, and {why_not_asked}:\n" + "\n".join(lines),
        "find each with the user, one question at a time, and call again; a cluster is either an existing one "
        "(cluster_id) or a new one (the other two objects)",
    )


def kind_of(path: str) -> str | None:
    """What find_options calls the values of a field; None for a field of free text."""
    return next((kind for kind, lookup in LOOKUPS.items() if path in lookup.item.goes_into), None)


def _finding(path: str, vpc_id: object) -> str:
    kind = kind_of(path)
    if path == f"{PLATFORM}.image_id":
        return "list_images"
    if kind:
        more = f', vpc_id="{vpc_id}"' if kind == "subnets" and isinstance(vpc_id, str) else ""
        return f'find_options(kind="{kind}"{more})'
    return f"ask the user for {right_form(field_schema(schema_of(CreatePlatform), path.split('.')))}"


def _missing(arguments: dict[str, Any]) -> list[str]:
    return [path for path in _applicable(arguments) if _at(arguments, path) in (None, "", [], {})]


def _applicable(arguments: dict[str, Any]) -> Iterator[str]:
    """The fields that a create of this shape needs: on an existing cluster, on a new one, or not decided yet."""
    is_new = not _at(arguments, CLUSTER_ID) and (arguments.get(ENGINE) is not None or arguments.get(POOL) is not None)
    scales = _at(arguments, f"{POOL}.is_auto_scale") is True
    for path in _TITLES:
        if path == CLUSTER_ID:
            if not is_new:
                yield path
        elif path.startswith(PLATFORM) or (is_new and not (scales and path == NODE_COUNT)):
            yield path


def _at(arguments: dict[str, Any], path: str) -> object:
    value: object = arguments
    for name in path.split("."):
        value = cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
    return value


def _put(arguments: dict[str, Any], path: str, value: JsonValue) -> None:
    owner, name = path.split(".")
    if not isinstance(arguments.get(owner), dict):
        arguments[owner] = {}
    is_list = field_schema(schema_of(CreatePlatform), (owner, name)).get("type") == "array"
    arguments[owner][name] = [value] if is_list else value


def _fill(
    arguments: dict[str, Any], path: str, options: list[Option] | None, content: dict[str, Any], say: Wording
) -> str:
    """Put the answer for one field in; what is wrong with it, or ""."""
    value = content.get(_key(path))
    if value is None or (isinstance(value, str) and not value.strip()):
        return "" if path in OPTIONAL else say("{field}: an answer is needed", field=say(_TITLES[path]))
    if path == CLUSTER_ID and value == NEW_CLUSTER:
        for owner in (ENGINE, POOL):
            arguments[owner] = arguments.get(owner) or {}
        return ""
    if options is None:
        _put(arguments, path, value.strip() if isinstance(value, str) else value)
        return ""
    chosen = next((option for option in options if option.value == value), None)
    if chosen is None:
        return say("{field}: choose one of the list", field=say(_TITLES[path]))
    for each, part in chosen.sets.items():
        _put(arguments, each, part)
    return ""


def _key(path: str) -> str:
    return path.rpartition(".")[2]
