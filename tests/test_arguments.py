"""Arguments: what makes a request, and what is refused with the field and its right form, but never its value."""

import json
import posixpath
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, NoReturn, cast
from urllib.parse import unquote, urlsplit

import pytest
from aimlops_server.arguments import MAX_PROBLEMS, parse_arguments
from aimlops_server.errors import InvalidArguments
from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.routes import find_route
from aimlops_server.sandbox.seed import FREE_CLUSTER_ID
from aimlops_server.sandbox.transport import SandboxTransport
from aimlops_tools import OPERATIONS, Operation, WireRequest
from aimlops_tools.fields import RESERVED_IDS
from aimlops_tools.models.platforms import GetPlatform
from aimlops_tools.procedure import CheckSetup
from aimlops_tools.schema import request_schema
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from tests.transports import client_of
from tests.world import NEW_CLUSTER, PASSWORD, PASSWORD_REFERENCE, SECRETS, Clock, create_arguments

JsonObject = dict[str, Any]
Path = tuple[str, ...]

CANARY = "canary-4Tz"
ID = "10a599e031e749b7b260868f441e862b"
PAGED = {"size": 20, "page": 0, "sort": "created_dt:desc"}
# Every operation with every argument it has.
FULL: dict[str, JsonObject] = {
    "list_platforms": {
        **PAGED,
        "created_by": "user",
        "release_name": "name",
        "cluster_name": "cluster",
        "version": "v1.9.2",
        "kubeflow_type": "Mini",
        "status": "DEPLOYED",
    },
    "get_platform": {"release_id": ID},
    "create_platform": {
        **create_arguments(
            ai_ml_ops_platform_endpoint_type="Private",
            node_type="vm",
            storage_class_name="fast",
            tags=[{"key": "team", "value": "ml"}],
        ),
        "kubernetes_engine_create_request": {
            **NEW_CLUSTER["kubernetes_engine_create_request"],
            "cifs_volume_id": "5" * 32,
            "lb_id": "6" * 32,
            "public_acl_ip_address": "10.0.0.1",
            "private_acl_ip_resource": [{"id": "7", "name": "vm-1", "type": "vm"}],
            "cloud_logging_enabled": False,
        },
        "node_pool_create_request": {
            **NEW_CLUSTER["node_pool_create_request"],
            "is_auto_scale": False,
            "min_node_count": 1,
            "max_node_count": 3,
            "is_auto_recovery": True,
            "kubernetes_version": "v1.33.5",
            "cluster_id": FREE_CLUSTER_ID,
            "zone": "kr-west1-a",
        },
    },
    "update_platform": {
        "release_id": ID,
        "ai_ml_ops_platform_endpoint_type": "Public",
        "ai_ml_ops_platform_domain_service": {
            "operation_type": "UPDATE",
            "dns_id": "dns",
            "record_id": "record",
            "record_name": "www",
            "domain_service_name": "www.example",
            "ip": "10.0.0.1",
        },
    },
    "delete_platform": {"release_id": ID, "with_k8s": True},
    "check_platform_name": {"release_name": "name"},
    "list_images": {**PAGED, "image_name": "image"},
    "list_nodes": {**PAGED, "cluster_id": ID},
    "list_storage_classes": {"cluster_id": ID},
    "check_cluster_version": {"cluster_id": ID, "version": "1.33.5"},
    "validate_cluster_namespace": {"cluster_id": ID},
    "validate_cluster_resources": {"cluster_id": ID, "product_type": "mini"},
}
# The fields whose inside is the caller's own: sent as given.
FREE_FORM = {"tags", "private_acl_ip_resource"}


def fields(schema: JsonObject, at: Path = ()) -> Iterator[tuple[Path, JsonObject, bool]]:
    """Every field of a request, at every depth: its path, its schema, whether it is required."""
    for name, node in schema.get("properties", {}).items():
        yield (*at, name), node, name in schema.get("required", ())
        yield from fields(node, (*at, name))


ALL = [(name, *field) for name, operation in OPERATIONS.items() for field in fields(request_schema(operation))]
OBJECTS = [(name, ()) for name in OPERATIONS] + [(name, at) for name, at, node, _ in ALL if "properties" in node]
OPTIONAL = [(name, at) for name, at, _, required in ALL if not required]
WITH_ID = [(name, field) for name, operation in OPERATIONS.items() for field in operation.spec.path_names]


def ids(value: object) -> str:
    return ".".join(cast("Sequence[str]", value)) if isinstance(value, tuple) else str(value)[:40]


def changed(name: str, at: Path, value: object) -> JsonObject:
    """The full arguments with one field set to another value."""
    arguments = deepcopy(FULL[name])
    inner = arguments
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = value
    return arguments


def without(name: str, at: Path) -> JsonObject:
    arguments = changed(name, at, None)
    inner = arguments
    for step in at[:-1]:
        inner = inner[step]
    del inner[at[-1]]
    return arguments


def refusal(name: str, arguments: JsonObject) -> str:
    """What is said about arguments that make no request."""
    with pytest.raises(InvalidArguments) as refused:
        parse_arguments(OPERATIONS[name], arguments)
    error = refused.value
    assert error.explain(name) == (
        f"{name} failed. {error.happened}\nChanged: nothing was changed.\nNext: correct the arguments and call again"
    )
    assert CANARY not in error.explain(name)
    assert error.__cause__ is None
    return error.happened


def wire(name: str, arguments: JsonObject, version: str = "1.2") -> WireRequest:
    return parse_arguments(OPERATIONS[name], arguments).wire(version)


def test_every_argument_of_every_operation_is_tried() -> None:
    assert FULL.keys() == OPERATIONS.keys()
    for name, at, _, _ in ALL:
        node = FULL[name]
        for step in at:
            node = node[step]


@pytest.mark.parametrize("name", OPERATIONS)
def test_full_arguments_reach_the_wire_unchanged(name: str) -> None:
    request = wire(name, FULL[name])
    operation = OPERATIONS[name]
    elsewhere = {k: v for k, v in FULL[name].items() if k not in operation.spec.path_names}

    assert request.method == operation.spec.method
    path, _, query = request.target.partition("?")
    assert path == operation.spec.path.replace("{release_id}", ID).replace("{cluster_id}", ID)
    if request.body is None:
        pairs = dict(pair.split("=") for pair in query.split("&")) if query else {}
        texts = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in elsewhere.items()}
        assert {k: unquote(v) for k, v in pairs.items()} == texts
    else:
        assert (json.loads(request.body), query) == (elsewhere, "")


@pytest.mark.parametrize(("name", "at"), OBJECTS, ids=ids)
def test_unknown_argument_is_refused_with_those_there_are(name: str, at: Path) -> None:
    """At every depth, and however near the name is to a real one."""
    inner = request_schema(OPERATIONS[name])
    for step in at:
        inner = inner["properties"][step]
    path = ".".join((*at, "relase_name"))

    assert refusal(name, changed(name, (*at, "relase_name"), CANARY)) == (
        f"Invalid arguments: {path}: there is no such argument; there are: {', '.join(inner['properties'])}."
    )


KINDS = {"string": "a text", "integer": "a whole number", "boolean": "true or false", "array": "a list"}


def right_form(node: JsonObject) -> str:
    return "one of " + ", ".join(node["enum"]) if "enum" in node else KINDS.get(node.get("type", ""), "an object")


WRONG = {"string": ([CANARY], 5, True), "integer": (CANARY, 1.5, True, "5"), "boolean": (CANARY, 1, "true")}


@pytest.mark.parametrize(("name", "at", "node", "required"), ALL, ids=ids)
def test_wrong_type_is_refused_with_the_right_form(name: str, at: Path, node: JsonObject, required: bool) -> None:
    del required
    for value in WRONG.get(node["type"], (CANARY, 5, True)):
        said = refusal(name, changed(name, at, value))
        assert said.startswith(f"Invalid arguments: {'.'.join(at)}: must be {right_form(node)}")
        assert said.count("must be") == 1


@pytest.mark.parametrize(("name", "at", "node", "required"), [field for field in ALL if field[3]], ids=ids)
@pytest.mark.parametrize("value", ["absent", "", None])
def test_missing_required_field_is_named(
    name: str, at: Path, node: JsonObject, required: bool, value: str | None
) -> None:
    """Left out, empty or null: all three are no value."""
    del required
    arguments = without(name, at) if value == "absent" else changed(name, at, value)

    assert refusal(name, arguments).startswith(f"Invalid arguments: {'.'.join(at)}: required, {right_form(node)}")


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (("tags",), [CANARY], "tags.0: must be an object"),
        (("tags",), [{"key": "a"}, None], "tags.1: must be an object"),
        (("tags",), {"key": CANARY}, 'tags: must be a list ([{"key": "…", "value": "…"}])'),
        (("initial_user_password",), {CANARY: CANARY}, "initial_user_password: must be a text like ^(env:"),
        (("initial_user_password",), 4711, "initial_user_password: must be a text like ^(env:"),
        (("cluster_id",), CANARY, "cluster_id: must be a text like ^[0-9a-fA-F]{32}$ (Existing RUNNING cluster;"),
        (("ai_ml_ops_platform_type",), CANARY, "ai_ml_ops_platform_type: must be one of Enterprise, Mini (Must match"),
        (("ai_ml_ops_platform_type",), "mini", "ai_ml_ops_platform_type: must be one of Enterprise, Mini (Must match"),
        (("node_type",), "VM", "node_type: must be one of vm, bm"),
    ],
)
def test_wrong_value_inside_a_create_is_named_by_its_path(at: Path, value: object, said: str) -> None:
    part = "ai_ml_ops_platform_create_request"

    happened = refusal("create_platform", changed("create_platform", (part, *at), value))

    assert happened.startswith(f"Invalid arguments: {part}.{said}")


@pytest.mark.parametrize("engine_name", ["ab", "a" * 31, "Abc", "1abc", "abc-", "a_c", "abc\n", "a c", "에이비"])
def test_engine_name_has_the_references_form(engine_name: str) -> None:
    at = ("kubernetes_engine_create_request", "kubernetes_engine_name")
    assert refusal("create_platform", changed("create_platform", at, engine_name)) == (
        "Invalid arguments: kubernetes_engine_create_request.kubernetes_engine_name: "
        "must be a text of 3 to 30 characters like ^[a-z][a-z0-9\\-]*[a-z0-9]$."
    )


@pytest.mark.parametrize(("field", "value"), [("size", 0), ("size", 101), ("size", -1), ("page", -1)])
def test_page_out_of_bounds_is_refused(field: str, value: int) -> None:
    right = {"size": "from 1 to 100 (Items per page)", "page": "from 0 (Page, from 0)"}[field]
    for name in ("list_platforms", "list_images"):
        said = refusal(name, {field: value})
        assert said == f"Invalid arguments: {field}: must be a whole number {right}."


def test_many_problems_are_told_up_to_a_limit() -> None:
    said = refusal("create_platform", {**FULL["create_platform"], "node_pool_create_request": {CANARY[:1]: 1}})

    # Seven required fields and one unknown one.
    assert said.count("required, ") == 7
    more = {f"x{number}": 1 for number in range(20)}
    assert refusal("get_platform", more).endswith(f"; and {21 - MAX_PROBLEMS} more.")


def test_long_and_unseen_names_are_made_plain() -> None:
    said = refusal("get_platform", {"release_id": ID, "a\n\x1b[31m" + "b" * 1000: 1})

    assert said == f"Invalid arguments: a [31m{'b' * 113}…: there is no such argument; there are: release_id."


def test_an_argument_of_a_tool_that_takes_none_is_refused() -> None:
    with pytest.raises(InvalidArguments) as refused:
        parse_arguments(CheckSetup, {"deep": True})

    assert refused.value.happened == "Invalid arguments: deep: there is no such argument; none is taken here."


UNSAFE = (
    "",
    ".",
    "..",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "%2e%2e",
    "a%2fb",
    "a b",
    " a",
    "a ",
    "a\n",
    "\na",
    "a\x00",
    "-a",
    "_a",
    "a;b",
    "a:b",
    "플랫폼",
    "ａ",
    "é",
    "a" * 65,
    "../images",
    "images/",
    *sorted(RESERVED_IDS),
)


@pytest.mark.parametrize(("name", "field"), WITH_ID)
@pytest.mark.parametrize("segment", UNSAFE)
def test_unsafe_path_segment_is_refused(name: str, field: str, segment: str) -> None:
    """An id is one segment, and never the literal path of another operation."""
    said = refusal(name, changed(name, (field,), segment))

    assert said.startswith(f"Invalid arguments: {field}: ")
    if field == "release_id" and segment in RESERVED_IDS:
        assert said == f"Invalid arguments: release_id: {segment!r} is another operation's path, not an id."


def test_path_value_is_quoted_even_if_nothing_checked_it() -> None:
    """The second lock: the pattern is the first."""
    unchecked = GetPlatform.model_construct(release_id="../a?b#c%2f")

    assert unchecked.wire("1.1").target == "/v1/aimlops-platform/..%2Fa%3Fb%23c%252f"


def test_every_literal_beside_an_id_is_reserved() -> None:
    """Derived from the paths: a new operation cannot be forgotten."""
    prefix = "/v1/aimlops-platform/"
    beside = {op.spec.path.removeprefix(prefix).split("/")[0] for op in OPERATIONS.values() if prefix in op.spec.path}

    assert beside - {"{release_id}"} == RESERVED_IDS


def empties(value: object, at: Path = ()) -> list[Path]:
    """Where a body holds an empty text or a null."""
    if value is None or value == "":
        return [at]
    if isinstance(value, dict):
        items = list(cast("JsonObject", value).items())
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(cast("list[object]", value))]
    else:
        return []
    return [found for key, item in items if key not in FREE_FORM for found in empties(item, (*at, key))]


@pytest.mark.parametrize(("name", "at"), OPTIONAL, ids=ids)
@pytest.mark.parametrize("value", ["", None])
def test_empty_optional_field_is_left_out(name: str, at: Path, value: str | None) -> None:
    """The reference writes "" where it means "no value", and the service wants such a field absent."""
    assert wire(name, changed(name, at, value)) == wire(name, without(name, at))


def test_all_optional_fields_empty_leave_the_required_ones() -> None:
    arguments = deepcopy(FULL["create_platform"])
    for name, at in OPTIONAL:
        if name == "create_platform" and len(at) == 2:
            arguments[at[0]][at[1]] = None if len(at[1]) % 2 else ""
    body = json.loads(wire("create_platform", arguments).body or b"")

    required = {at for name, at, _, needed in ALL if name == "create_platform" and needed}
    assert {(part, field) for part, value in body.items() for field in value} == {at for at in required if len(at) == 2}
    assert empties(body) == []


def test_free_form_items_are_sent_as_given() -> None:
    """A tag with an empty value is a tag."""
    tags = [{"key": "team", "value": ""}, {"key": "flag", "value": None}, {}]
    body = json.loads(wire("create_platform", create_arguments(tags=tags)).body or b"")

    assert body["ai_ml_ops_platform_create_request"]["tags"] == tags


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", 10**5000, [["\udfff"]]], ids=range(5))
def test_tag_that_no_request_can_carry_is_refused(value: object) -> None:
    assert refusal("create_platform", create_arguments(tags=[{"key": value}])) == (
        "Invalid arguments: ai_ml_ops_platform_create_request.tags: "
        "half a character, NaN, or too long a number cannot be sent."
    )


@pytest.mark.parametrize("name", ["initial_user_password", "initial_user_email", "image_id"])
def test_half_a_character_in_a_body_is_refused(name: str) -> None:
    said = refusal("create_platform", create_arguments(**{name: "canary-4Tz\ud800"}))

    assert said.startswith(f"Invalid arguments: ai_ml_ops_platform_create_request.{name}: half a character")


@pytest.mark.parametrize("service", [None, "", {}, {"dns_id": ""}, {"dns_id": None, "ip": ""}])
@pytest.mark.parametrize("endpoint_type", ["absent", "", None])
def test_update_of_nothing_is_refused(service: object, endpoint_type: str | None) -> None:
    """The service takes an empty update and does nothing: that would look like success."""
    arguments = {"release_id": ID, "ai_ml_ops_platform_domain_service": service}
    if endpoint_type != "absent":
        arguments["ai_ml_ops_platform_endpoint_type"] = endpoint_type

    assert refusal("update_platform", arguments) == (
        "Invalid arguments: arguments: give ai_ml_ops_platform_endpoint_type or ai_ml_ops_platform_domain_service."
    )


def test_empty_part_beside_a_real_change_is_refused() -> None:
    """What an empty record would do is not documented: it is not sent along."""
    arguments = changed("update_platform", ("ai_ml_ops_platform_domain_service",), {"dns_id": ""})

    assert refusal("update_platform", arguments).startswith("Invalid arguments: arguments: give ")


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_zone_is_refused_where_it_does_not_exist(version: str, clock: Clock, sandbox: Sandbox) -> None:
    create = parse_arguments(OPERATIONS["create_platform"], FULL["create_platform"])
    async with client_of(SandboxTransport(sandbox), clock, api_version=version) as api:
        with pytest.raises(InvalidArguments) as refused:
            await api.change(create)

    assert refused.value.explain("create_platform") == (
        "create_platform failed. node_pool_create_request.zone: exists from API version 1.2 on, and this server uses "
        f"{version}; leave it out, or set SCP_API_VERSION=1.2\n"
        "Changed: nothing was changed.\nNext: correct the arguments and call again"
    )
    assert not sandbox.seen


@pytest.mark.anyio
@pytest.mark.parametrize(("version", "zone"), [("1.1", None), ("1.1", ""), ("1.2", "kr-west1-a"), ("1.2", None)])
async def test_zone_is_sent_where_it_exists(version: str, zone: str | None, clock: Clock, sandbox: Sandbox) -> None:
    pool = {**NEW_CLUSTER["node_pool_create_request"], "zone": zone}
    arguments = {**create_arguments(cluster_id=None), **NEW_CLUSTER, "node_pool_create_request": pool}
    async with client_of(SandboxTransport(sandbox), clock, api_version=version) as api:
        await api.change(parse_arguments(OPERATIONS["create_platform"], arguments), SECRETS)

    (seen,) = sandbox.changes
    assert (seen.version, seen.status) == (f"aimlops-platform {version}", 201)
    assert json.loads(seen.body)["node_pool_create_request"].get("zone") == (zone or None)


def test_password_is_hidden_from_every_text_of_a_request() -> None:
    create = parse_arguments(OPERATIONS["create_platform"], create_arguments())
    request = create.wire("1.2", SECRETS)

    assert PASSWORD.encode() in (request.body or b"")
    assert create.secret_references() == [PASSWORD_REFERENCE]
    shown = f"{create!r} {create} {create.model_dump()} {create.model_dump_json()} {create.shown_body()} {request!r}"
    assert PASSWORD not in shown


def test_product_type_takes_any_case_and_is_sent_in_lower() -> None:
    """Only the lower-case spelling passes the live check; the reference's example is "Enterprise"."""
    targets = {
        wire("validate_cluster_resources", {"cluster_id": ID, "product_type": spelling}).target
        for spelling in ("Enterprise", "ENTERPRISE", "enterprise")
    }
    assert targets == {f"/v1/aimlops-platform/clusters/{ID}/validate-resources?product_type=enterprise"}


any_text = st.text(st.characters(), max_size=20) | st.sampled_from([*UNSAFE, "\ud800", CANARY, ID])
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def any_arguments(draw: st.DrawFn) -> tuple[str, JsonObject]:
    """Anything at all, or good arguments with anything at one or two places."""
    name = draw(st.sampled_from(sorted(OPERATIONS)))
    if draw(st.booleans()):
        names = st.sampled_from(sorted(FULL[name])) | any_text
        return name, draw(st.dictionaries(names, any_json, max_size=5))
    arguments = deepcopy(FULL[name])
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from([at for other, at, _, _ in ALL if other == name]))
        inner: Any = arguments
        for step in at[:-1]:
            inner = inner.get(step) if isinstance(inner, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] reason: any JSON
        if isinstance(inner, dict):
            inner[at[-1]] = draw(any_json)
    return name, arguments


def no_constant(text: str) -> NoReturn:
    raise AssertionError(f"{text} is not JSON")


def assert_stays_in_its_place(operation: type[Operation[Any]], request: WireRequest) -> None:
    path = urlsplit("https://host" + request.target).path
    assert posixpath.normpath(unquote(path)) == path
    route = find_route(request.method, path)
    assert route is not None
    assert route.operation is operation
    assert request.target.isascii()
    assert request.target.isprintable()
    assert "#" not in request.target
    if request.body is not None:
        assert empties(json.loads(request.body, parse_constant=no_constant)) == []


@pytest.mark.anyio
@limits(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_arguments())
async def test_any_arguments_make_a_request_in_its_place_or_are_refused(call: tuple[str, JsonObject]) -> None:
    name, arguments = call
    clock = Clock()
    async with client_of(None, clock) as api:
        try:
            request = api.wire(parse_arguments(OPERATIONS[name], arguments))
        except InvalidArguments as refused:
            said = refused.happened
        else:
            said = ""
            assert_stays_in_its_place(OPERATIONS[name], request)
    assert said == "".join(c for c in said if c.isprintable())
