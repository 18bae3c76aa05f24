"""Settings: where each value comes from, what is refused, and that no secret is ever shown."""

import json
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aimlops_server.errors import ConfigurationError
from aimlops_server.settings import REGIONS, Settings, sources
from aimlops_server.signing import Keys
from pydantic import SecretStr, ValidationError

SECRET = "canary secret 9Zq"  # with spaces: refused, and never to be shown
DEFAULTS: dict[str, object] = {
    "access_key": None,
    "secret_key": None,
    "auth_token": None,
    "account_id": None,
    "region": "kr-west1",
    "environment": "e",
    "auth_url": None,
    "endpoint": None,
    "service_versions": None,
    "api_version": "1.1",
    "language": "en-US",
    "read_timeout_s": 30.0,
    "read_only": False,
    "confirm": "auto",
    "plan_ttl_s": 600.0,
    "approval_wait_s": 40.0,
    "secrets_dir": None,
    "state_dir": None,
    "log_format": "text",
}
# Setting -> its sources, first wins. A flag comes before all of them.
SOURCES: dict[str, list[str]] = {
    "access_key": ["SCP_ACCESS_KEY", "SCP_TF_ACCESS_KEY", "credentials.json: access-key"],
    "secret_key": ["SCP_SECRET_KEY", "SCP_TF_SECRET_KEY", "credentials.json: secret-key"],
    "auth_token": ["SCP_AUTH_TOKEN", "SCP_TF_AUTH_TOKEN", "credentials.json: auth-token"],
    "account_id": ["SCP_ACCOUNT_ID", "SCP_TF_ACCOUNT_ID", "config.json: account-id"],
    "region": ["SCP_REGION", "SCP_TF_DEFAULT_REGION", "config.json: default-region"],
    "environment": ["SCP_ENVIRONMENT"],
    "auth_url": ["SCP_TF_AUTH_URL", "config.json: auth-url"],
    "endpoint": ["SCP_ENDPOINT", "SCP_TF_ENDPOINT_OVERRIDE", "config.json: endpoint-override"],
    "service_versions": ["SCP_MCP_SERVICE_VERSIONS"],
    "api_version": ["SCP_API_VERSION"],
    "language": ["SCP_LANGUAGE"],
    "read_timeout_s": ["SCP_MCP_READ_TIMEOUT_S"],
    "read_only": ["SCP_MCP_READ_ONLY"],
    "confirm": ["SCP_MCP_CONFIRM"],
    "plan_ttl_s": ["SCP_MCP_PLAN_TTL_S"],
    "approval_wait_s": ["SCP_MCP_APPROVAL_WAIT_S"],
    "secrets_dir": ["SCP_MCP_SECRETS_DIR"],
    "state_dir": ["SCP_MCP_STATE_DIR"],
    "log_format": ["SCP_MCP_LOG_FORMAT"],
}
# As many acceptable values as a setting has sources, and one for the flag.
VALUES: dict[str, list[str]] = {
    "access_key": ["key-0", "key-1", "key-2", "key-3"],
    "secret_key": ["secret-0", "secret-1", "secret-2", "secret-3"],
    "auth_token": ["token-0", "token-1", "token-2", "token-3"],
    "account_id": ["account-0", "account-1", "account-2", "account-3"],
    "region": ["kr-east1", "kr-west1", "kr-east1", "kr-west1"],
    "environment": ["s", "e"],
    "auth_url": [f"https://iam.{letter}.samsungsdscloud.com/v1" for letter in "ese"],
    "endpoint": [f"https://host-{number}.example" for number in range(4)],
    "service_versions": ["ske=1.4", "ske=1.6,vpc=1.2"],
    "api_version": ["1.0", "1.2"],
    "language": ["ko-KR", "en-US"],
    "read_timeout_s": ["1.0", "2.0"],
    "read_only": ["True", "False"],
    "confirm": ["page", "refuse"],
    "plan_ttl_s": ["1.0", "2.0"],
    "approval_wait_s": ["1.0", "2.0"],
    "secrets_dir": [os.path.join("a", "b"), "c"],
    "state_dir": [os.path.join("a", "b"), "c"],
    "log_format": ["json", "text"],
}
MIXED = [(name, rank) for name, names in SOURCES.items() for rank in range(len(names) + 1)]
EVERY_SOURCE = [(name, source) for name, names in SOURCES.items() for source in names]
MESSAGE = "must be visible ASCII characters without spaces"


class Places:
    """Everything that settings are read from, under the test's hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.directory = Path.home() / ".scpconf"

    def put(self, source: str, value: object) -> None:
        file, _, key = source.partition(": ")
        if not key:
            self._monkeypatch.setenv(source, str(value))
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / file
        content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self.write(file, json.dumps(content | {key: value}))

    def write(self, file: str, text: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / file).write_text(text, "utf-8")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] reason: pytest uses it
    monkeypatch.delenv("SCP_MCP_STATE_DIR")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(monkeypatch)


def shown(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def problem(**flags: object) -> str:
    """What is said about settings that are refused."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.read(**flags)
    assert refused.value.happened == " ".join(refused.value.happened.split())
    assert refused.value.next_step
    return refused.value.happened


def test_sources_are_these_and_no_other() -> None:
    assert {name: sources(field) for name, field in Settings.model_fields.items()} == SOURCES
    assert VALUES.keys() == SOURCES.keys() == DEFAULTS.keys()


def test_defaults_need_nothing() -> None:
    settings = Settings.read()

    assert settings.model_dump() == DEFAULTS
    assert settings.base_url == "https://aimlops-platform.kr-west1.e.samsungsdscloud.com"


@pytest.mark.parametrize(("name", "rank"), MIXED)
def test_first_source_that_has_a_value_wins(name: str, rank: int, places: Places) -> None:
    """Rank 0 is the flag; all later sources hold other values, all earlier ones none."""
    values = VALUES[name]
    for source, value in list(zip(SOURCES[name], values[1:], strict=True))[max(rank - 1, 0) :]:
        places.put(source, value)

    settings = Settings.read(**({name: values[0]} if rank == 0 else {}))

    assert str(shown(getattr(settings, name))) == values[rank]


@pytest.mark.parametrize(("name", "source"), EVERY_SOURCE)
def test_empty_text_counts_as_unset(name: str, source: str, places: Places) -> None:
    later = SOURCES[name][SOURCES[name].index(source) + 1 :]
    places.put(source, "")
    for place in later:
        places.put(place, VALUES[name][0])

    expected = VALUES[name][0] if later else DEFAULTS[name]
    assert str(shown(getattr(Settings.read(), name))) == str(expected)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("flag", ["", None])
def test_empty_flag_counts_as_not_given(name: str, flag: str | None, places: Places) -> None:
    places.put(SOURCES[name][0], VALUES[name][0])

    assert str(shown(getattr(Settings.read(**{name: flag}), name))) == VALUES[name][0]


@pytest.mark.parametrize("source", [s for names in SOURCES.values() for s in names if ": " in s])
def test_vendor_keys_are_read_with_underscores_too(source: str, places: Places) -> None:
    name = next(name for name, names in SOURCES.items() if source in names)
    file, _, key = source.partition(": ")
    places.put(f"{file}: {key.replace('-', '_')}", VALUES[name][0])

    assert shown(getattr(Settings.read(), name)) == VALUES[name][0]


def test_null_in_a_vendor_file_counts_as_unset(places: Places) -> None:
    places.write("config.json", '{"default-region": null, "account-id": null, "max-remain-days": 90}')

    assert Settings.read() == Settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings.read().region = "kr-east1"  # pyright: ignore[reportAttributeAccessIssue] reason: it is what fails


@pytest.mark.parametrize("letter", REGIONS)
def test_environment_follows_the_auth_url(letter: str, places: Places) -> None:
    places.put("SCP_TF_AUTH_URL", f"https://iam.{letter}.samsungsdscloud.com/v1")

    settings = Settings.read(region=REGIONS[letter][0])

    assert settings.environment == letter
    assert settings.base_url == f"https://aimlops-platform.{REGIONS[letter][0]}.{letter}.samsungsdscloud.com"


def test_environment_itself_wins_over_the_auth_url(places: Places) -> None:
    places.put("SCP_TF_AUTH_URL", "https://iam.g.samsungsdscloud.com/v1")
    places.put("SCP_ENVIRONMENT", "s")

    assert Settings.read().environment == "s"


@pytest.mark.parametrize("auth_url", ["iam.e.samsungsdscloud.com", "https://localhost/v1", "https://[::1", "/", "%"])
def test_auth_url_without_an_environment_is_refused(auth_url: str) -> None:
    assert problem(auth_url=auth_url) == (
        "SCP_TF_AUTH_URL must look like https://iam.{environment}.samsungsdscloud.com/v1"
    )


def test_internal_environment_is_refused() -> None:
    """The vendor's own example names one that is not for customers."""
    assert problem(auth_url="https://iam.dev2.samsungsdscloud.com/v1") == (
        "SCP_ENVIRONMENT must be one of s, g, e, not 'dev2'"
    )


def test_internal_environment_is_allowed_behind_another_address() -> None:
    settings = Settings.read(environment="dev2", region="kr-south1", endpoint="https://test.example")

    assert settings.base_url == "https://test.example"


ALL_REGIONS = ("kr-west1", "kr-east1", "kr-south1", "kr-south2", "kr-south3")
PAIRS = {
    "s": ("kr-west1", "kr-east1"),
    "g": ("kr-south1", "kr-south2", "kr-south3"),
    "e": ("kr-west1", "kr-east1"),
}


@pytest.mark.parametrize(("environment", "region"), [(e, r) for e in PAIRS for r in ALL_REGIONS])
def test_region_belongs_to_its_environment(environment: str, region: str) -> None:
    allowed = PAIRS[environment]
    if region in allowed:
        settings = Settings.read(environment=environment, region=region)
        assert settings.base_url == f"https://aimlops-platform.{region}.{environment}.samsungsdscloud.com"
    else:
        assert problem(environment=environment, region=region) == (
            f"SCP_REGION must be one of {', '.join(allowed)} in environment {environment!r}, not {region!r}"
        )


@pytest.mark.parametrize("region", ["kr-west2", "KR-WEST1", "kr-west1 ", "x" * 500, "a\nb", "../"])
def test_unknown_region_is_refused_in_one_line(region: str) -> None:
    assert problem(region=region) == (
        f"SCP_REGION must be one of kr-west1, kr-east1 in environment 'e', not {region[:20]!r}"
    )


@pytest.mark.parametrize("environment", ["x", "E", "kr-west1", "\n", "e" * 500])
def test_unknown_environment_is_refused_in_one_line(environment: str) -> None:
    assert problem(environment=environment) == f"SCP_ENVIRONMENT must be one of s, g, e, not {environment[:20]!r}"


@pytest.mark.parametrize(
    ("endpoint", "base_url"),
    [
        ("https://api.example", "https://api.example"),
        ("https://api.example/", "https://api.example"),
        ("https://api.example:8443", "https://api.example:8443"),
        ("https://10.0.0.1", "https://10.0.0.1"),
        ("https://my_service", "https://my_service"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_address_may_be_replaced(endpoint: str, base_url: str) -> None:
    assert Settings.read(endpoint=endpoint).base_url == base_url


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://api.example",
        "http://127.0.0.2",
        "http://10.0.0.1",
        "http://[::2]",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "ftp://127.0.0.1",
        "file://localhost",
    ],
)
def test_plain_http_is_for_this_machine_alone(endpoint: str) -> None:
    assert problem(endpoint=endpoint) == (
        "SCP_ENDPOINT must start with https:// (http:// only on 127.0.0.1, ::1 or localhost)"
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "api.example",
        "https://",
        "https:///v1",
        "https://api.example/v1",
        "https://api.example//v1",
        "https://user@api.example",
        "https://user:canary@api.example",
        "https://@api.example",
        "https://api.example?a=b",
        "https://api.example?",
        "https://api.example#",
        "https://api.example:",
        "https://api.example;x",
        "https://api..example",
        "https://api.example%2f",
        "https://api.example\\x",
        "https://한글.example",
        " https://api.example",
        "https://api.example\n",
        "https://api\t.example",
        "https://api .example",
        "http://localhost@api.example",
        "http://localhost\\.api.example",
    ],
)
def test_address_is_scheme_host_and_port_alone(endpoint: str) -> None:
    """An address with more in it would sign, or reach, something else than it seems to."""
    assert problem(endpoint=endpoint) == "SCP_ENDPOINT must be scheme://host or scheme://host:port, nothing more"


@pytest.mark.parametrize(
    ("endpoint", "own", "ske", "quota"),
    [
        (
            None,
            "https://aimlops-platform.kr-east1.e.samsungsdscloud.com",
            "https://ske.kr-east1.e.samsungsdscloud.com",
            "https://quota.e.samsungsdscloud.com",
        ),
        ("http://127.0.0.1:1/{service}", *(f"http://127.0.0.1:1/{s}" for s in ("aimlops-platform", "ske", "quota"))),
        (
            "https://{service}.{region}-{environment}.example/",
            *(f"https://{s}.kr-east1-e.example" for s in ("aimlops-platform", "ske", "quota")),
        ),
        (
            "https://{environment}.example/{region}/{service}",
            *(f"https://e.example/kr-east1/{s}" for s in ("aimlops-platform", "ske", "quota")),
        ),
    ],
)
def test_one_address_reaches_every_service(endpoint: str | None, own: str, ske: str, quota: str) -> None:
    settings = Settings.read(endpoint=endpoint, region="kr-east1")

    assert settings.reaches_neighbours
    assert (settings.base_url, settings.base_url_of("ske"), settings.base_url_of("quota", is_global=True)) == (
        own,
        ske,
        quota,
    )


def test_an_address_of_one_service_reaches_no_neighbour() -> None:
    assert not Settings.read(endpoint="https://api.example").reaches_neighbours


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.example/{service}?a=b",
        "https://api.example/{service}#x",
        "https://api.example/{service}/%2e%2e",
        "https://api.example/../{service}",
        "https://user@{service}.example",
        "https://{name}.example/{service}",
        "https://{service}.example/a b",
        "{service}.example",
    ],
)
def test_address_of_every_service_holds_nothing_but_their_names_and_a_path(endpoint: str) -> None:
    assert problem(endpoint=endpoint) == "SCP_ENDPOINT must be scheme://host or scheme://host:port, nothing more"


@pytest.mark.parametrize("versions", ["ske", "ske=", "ske=1.6;vpc=1.2", "ske=1.6,", "=1", "ske=latest"])
def test_versions_of_services_are_pairs(versions: str) -> None:
    assert problem(service_versions=versions) == ("SCP_MCP_SERVICE_VERSIONS must be pairs like ske=1.6,vpc=1.4")


@pytest.mark.parametrize("endpoint", ["https://[::1", "https://api.example:99999", "https://api.example:port"])
def test_address_that_is_no_url_is_refused(endpoint: str) -> None:
    assert problem(endpoint=endpoint) == "SCP_ENDPOINT is not a URL"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "must hold a JSON object"),
        ('"text"', "must hold a JSON object"),
        ("null", "must hold a JSON object"),
        ("", "is not valid JSON"),
        ('{"access-key": "canary', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
@pytest.mark.parametrize("file", ["config.json", "credentials.json"])
def test_broken_vendor_file_is_told(file: str, text: str, said: str, places: Places) -> None:
    """The vendor's own tool skips it in silence, and the key that should work does not."""
    places.write(file, text)

    assert problem() == f"{places.directory / file}: {said}"


def test_vendor_file_that_is_no_text_is_told(places: Places) -> None:
    places.directory.mkdir(parents=True)
    (places.directory / "config.json").write_bytes(b"\xff\xfe{")

    assert problem() == f"{places.directory / 'config.json'}: is not valid JSON"


def test_vendor_file_that_cannot_be_opened_is_told(places: Places) -> None:
    (places.directory / "config.json").mkdir(parents=True)

    assert problem() == f"{places.directory / 'config.json'}: Is a directory"


def test_missing_vendor_files_are_no_problem(places: Places) -> None:
    assert not places.directory.exists()
    assert Settings.read().model_dump() == DEFAULTS
    places.directory.parent.mkdir()
    places.directory.write_text("a file, not a directory", "utf-8")
    assert Settings.read().model_dump() == DEFAULTS


@pytest.mark.parametrize("name", ["access_key", "secret_key", "auth_token", "account_id"])
@pytest.mark.parametrize(
    ("rank", "value"),
    [
        *((rank, value) for rank in range(3) for value in (SECRET, "key\n", "\tkey", " ", "키", "key\x7f")),
        (2, "key\x00"),  # no environment variable holds a NUL
    ],
)
def test_key_that_no_header_carries_is_refused(name: str, rank: int, value: str, places: Places) -> None:
    """A line end copied with a key would otherwise spoil the signature, or the request, without a word why."""
    environment, _, file = SOURCES[name]
    places.put(SOURCES[name][rank], value)

    # A variable is called by the setting's first name.
    assert problem() == f"{file if rank == 2 else environment} {MESSAGE}"


@pytest.mark.parametrize(
    ("source", "value", "said"),
    [
        ("SCP_API_VERSION", "2.0", "SCP_API_VERSION input should be '1.0', '1.1' or '1.2'"),
        ("SCP_LANGUAGE", "de", "SCP_LANGUAGE input should be 'en-US' or 'ko-KR'"),
        ("SCP_MCP_READ_TIMEOUT_S", "0", "SCP_MCP_READ_TIMEOUT_S input should be greater than 0"),
        ("SCP_MCP_READ_TIMEOUT_S", "601", "SCP_MCP_READ_TIMEOUT_S input should be less than or equal to 600"),
        ("SCP_MCP_READ_TIMEOUT_S", "nan", "SCP_MCP_READ_TIMEOUT_S input should be less than or equal to 600"),
        (
            "SCP_MCP_READ_ONLY",
            "perhaps",
            "SCP_MCP_READ_ONLY input should be a valid boolean, unable to interpret input",
        ),
    ],
)
def test_malformed_value_is_refused(source: str, value: str, said: str, places: Places) -> None:
    places.put(source, value)

    assert problem() == said


def test_all_problems_are_told_at_once(places: Places) -> None:
    places.put("SCP_LANGUAGE", "de")
    places.put("SCP_SECRET_KEY", SECRET)

    assert problem() == f"SCP_SECRET_KEY {MESSAGE}; SCP_LANGUAGE input should be 'en-US' or 'ko-KR'"


@pytest.mark.parametrize("source", [*SOURCES["secret_key"], *SOURCES["auth_token"]])
def test_secret_is_in_no_text_of_the_settings(source: str, places: Places) -> None:
    places.put(source, "canary-secret")
    places.put("SCP_ACCESS_KEY", "key")
    settings = Settings.read()

    texts = (
        repr(settings),
        str(settings),
        str(settings.model_dump()),
        settings.model_dump_json(),
        repr(vars(settings)),
    )
    assert not [text for text in texts if "canary" in text]


@pytest.mark.parametrize("source", [*SOURCES["secret_key"], *SOURCES["auth_token"]])
def test_secret_is_in_no_error_of_the_settings(source: str, places: Places) -> None:
    """Neither when it is malformed itself nor when its neighbour is; the traceback counts."""
    places.put(source, SECRET)
    places.put("SCP_REGION", "nowhere")
    with pytest.raises(ConfigurationError) as refused:
        Settings.read()

    assert "canary" not in "".join(traceback.format_exception(refused.value)) + refused.value.explain("start")
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("value", [["canary"], {"a": "canary"}, 12345])
def test_secret_of_a_wrong_type_is_not_shown(value: object, places: Places) -> None:
    places.put("credentials.json: secret-key", value)

    assert problem() == "credentials.json: secret-key input should be a valid string"


def missing() -> Iterator[tuple[dict[str, object], str]]:
    yield {}, "SCP_ACCESS_KEY and SCP_SECRET_KEY"
    yield {"access_key": "key"}, "SCP_SECRET_KEY"
    yield {"secret_key": SecretStr("secret")}, "SCP_ACCESS_KEY"


@pytest.mark.parametrize(("given", "names"), list(missing()))
def test_missing_keys_are_told_at_the_call_and_not_at_the_start(given: dict[str, object], names: str) -> None:
    settings = Settings.read(**given)
    with pytest.raises(ConfigurationError) as refused:
        _ = settings.keys

    assert refused.value.explain("list_platforms") == (
        f"list_platforms failed. {names} not set: requests cannot be signed.\n"
        "Changed: nothing was changed.\n"
        f"Next: ask the user to set {names} in this server's environment (or in ~/.scpconf/credentials.json) and to "
        "restart it; never ask for a key in the chat"
    )


def test_keys_hold_what_signs() -> None:
    token = SecretStr("token")
    settings = Settings.read(access_key="key", secret_key=SecretStr("secret"), account_id="account", auth_token=token)

    assert settings.keys == Keys("key", SecretStr("secret"), "account", token)
