"""The settings, read once into one frozen object: flag, then environment, then the vendor's own files.

The names beside each field are its sources in order of precedence (facts 3).
An empty text counts as unset.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

import platformdirs
from aimlops_tools.operation import PRODUCT
from pydantic import AliasChoices, Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aimlops_server.errors import ConfigurationError
from aimlops_server.signing import Keys

# Environment and Region List of the reference.
REGIONS: Mapping[str, tuple[str, ...]] = {
    "s": ("kr-west1", "kr-east1"),
    "g": ("kr-south1", "kr-south2", "kr-south3"),
    "e": ("kr-west1", "kr-east1"),
}
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
VENDOR_DIR = Path(".scpconf")
LEDGER_FILE = "ledger.sqlite3"

# What a header can carry; a stray space or line end in a key would otherwise fail at the first call, unexplained.
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")
# Narrower than urlsplit, which drops line ends and an empty "?" or "#" that would swallow the path.
_ENDPOINT = re.compile(r"[a-z]+://(\[[0-9a-f:.]+\]|[\w-]{1,63}(\.[\w-]{1,63})*\.?)(:[0-9]{1,5})?/*", re.ASCII | re.I)
_ENDPOINT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[\w.-]+)*/*", re.ASCII)
_SERVICE = "{service}"
_PAIR = r"[a-z][a-z0-9-]*=[0-9]{1,3}(\.[0-9]{1,3})?"
_CREDENTIALS = "credentials.json"
_CONFIG = "config.json"


def _from(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """Everything a person can set. `Settings.read()` is how to make one."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    access_key: str | None = Field(
        default=None,
        validation_alias=_from("SCP_ACCESS_KEY", "SCP_TF_ACCESS_KEY", f"{_CREDENTIALS}: access-key"),
        description="Access key",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        validation_alias=_from("SCP_SECRET_KEY", "SCP_TF_SECRET_KEY", f"{_CREDENTIALS}: secret-key"),
        description="Secret key; never shown",
    )
    auth_token: SecretStr | None = Field(
        default=None,
        validation_alias=_from("SCP_AUTH_TOKEN", "SCP_TF_AUTH_TOKEN", f"{_CREDENTIALS}: auth-token"),
        description="Temporary token, sent as X-Auth-Token; never shown",
    )
    account_id: str | None = Field(
        default=None,
        validation_alias=_from("SCP_ACCOUNT_ID", "SCP_TF_ACCOUNT_ID", f"{_CONFIG}: account-id"),
        description="Account id, sent and signed when set",
    )
    region: str = Field(
        default="kr-west1",
        validation_alias=_from("SCP_REGION", "SCP_TF_DEFAULT_REGION", f"{_CONFIG}: default-region"),
        description="Region",
    )
    environment: str = Field(
        default="e",
        validation_alias=_from("SCP_ENVIRONMENT"),
        description="Environment: s, g or e; read from the auth URL when unset",
    )
    auth_url: str | None = Field(
        default=None,
        validation_alias=_from("SCP_TF_AUTH_URL", f"{_CONFIG}: auth-url"),
        description="https://iam.{environment}.samsungsdscloud.com/v1; only its environment is used",
    )
    endpoint: str | None = Field(
        default=None,
        validation_alias=_from("SCP_ENDPOINT", "SCP_TF_ENDPOINT_OVERRIDE", f"{_CONFIG}: endpoint-override"),
        description="Replaces the service's address; https, or http on loopback. With {service} in it ({region} and "
        "{environment} too, if needed) it is the neighbouring services' address as well; without, look-ups are off",
    )
    service_versions: str | None = Field(
        default=None,
        validation_alias=_from("SCP_MCP_SERVICE_VERSIONS"),
        description="API versions of neighbouring services, e.g. ske=1.6,vpc=1.4; one that is refused gives way to the "
        "service's current one",
    )
    api_version: Literal["1.0", "1.1", "1.2"] = Field(
        default="1.1",
        validation_alias=_from("SCP_API_VERSION"),
        description="API version; 1.0 is deprecated, 1.2 adds node_pool_create_request.zone",
    )
    language: Literal["en-US", "ko-KR"] = Field(
        default="en-US",
        validation_alias=_from("SCP_LANGUAGE"),
        description="Language of plans and of the approval page; sent as Accept-Language",
    )
    read_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=600,
        validation_alias=_from("SCP_MCP_READ_TIMEOUT_S"),
        description="Seconds to wait for the service's next bytes",
    )
    read_only: bool = Field(
        default=False,
        validation_alias=_from("SCP_MCP_READ_ONLY"),
        description="Removes the three changing tools",
    )

    confirm: Literal["auto", "page", "refuse"] = Field(
        default="auto",
        validation_alias=_from("SCP_MCP_CONFIRM"),
        description="auto: the client's form, else the page; page: always the page; refuse: plans only",
    )
    plan_ttl_s: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        validation_alias=_from("SCP_MCP_PLAN_TTL_S"),
        description="Seconds a plan waits for a decision",
    )
    approval_wait_s: float = Field(
        default=40.0,
        ge=0,
        le=3_600,
        validation_alias=_from("SCP_MCP_APPROVAL_WAIT_S"),
        description="Seconds a call waits for a decision on the page or in a terminal",
    )
    secrets_dir: Path | None = Field(
        default=None,
        validation_alias=_from("SCP_MCP_SECRETS_DIR"),
        description="Directory of the files that file:<name> names, each with mode 0600",
    )
    state_dir: Path | None = Field(
        default=None,
        validation_alias=_from("SCP_MCP_STATE_DIR"),
        description="Directory of the ledger and the audit log; default: the system's place for state",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", validation_alias=_from("SCP_MCP_LOG_FORMAT"), description="Log lines on stderr"
    )
    _approve_command: str = PrivateAttr("scp-aimlops-mcp approve")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _VendorFiles(settings_cls)

    @classmethod
    def read(cls, **flags: object) -> "Settings":
        """Read all sources; `flags` are the explicit values, None for a flag not given.

        Raises:
            ConfigurationError: a value is malformed; one line that names its sources, never the value.
        """
        try:
            return cls(**{k: cast("Any", v) for k, v in flags.items() if v not in (None, "")})
        except ValidationError as error:
            raise ConfigurationError("; ".join(_problems(error)), "correct the setting and start again") from None

    @field_validator("access_key", "secret_key", "auth_token", "account_id")
    @classmethod
    def _fits_a_header(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and not _HEADER_TEXT.fullmatch(text):
            raise ValueError("must be visible ASCII characters without spaces")
        return value

    @field_validator("endpoint")
    @classmethod
    def _https_unless_loopback(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        example = _filled(endpoint, "aimlops-platform", "kr-west1", "e")
        try:
            parts = urlsplit(example)
            host = parts.hostname
            _ = parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        # A path is for the services' names alone, e.g. http://127.0.0.1:8080/{service}.
        address = example.removesuffix(parts.path) if _SERVICE in endpoint.partition("://")[2] else example
        if not _ENDPOINT.fullmatch(address) or not _ENDPOINT_PATH.fullmatch(example.removeprefix(address)):
            raise ValueError("must be scheme://host or scheme://host:port, nothing more")
        if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK_HOSTS):
            raise ValueError("must start with https:// (http:// only on 127.0.0.1, ::1 or localhost)")
        return endpoint.rstrip("/")

    @field_validator("service_versions")
    @classmethod
    def _are_pairs(cls, versions: str | None) -> str | None:
        if versions is not None and not re.fullmatch(rf"{_PAIR}(,{_PAIR})*", versions):
            raise ValueError("must be pairs like ske=1.6,vpc=1.4")
        return versions

    @model_validator(mode="after")
    def _known_region(self) -> "Settings":
        if "environment" not in self.model_fields_set and self.auth_url:
            # A frozen model's own validator is the one place that may still complete it.
            object.__setattr__(self, "environment", _environment_of(self.auth_url))
        regions = REGIONS.get(self.environment)
        if regions is None and self.endpoint is None:
            raise ValueError(f"SCP_ENVIRONMENT must be one of {', '.join(REGIONS)}, not {self.environment[:20]!r}")
        allowed = regions or tuple(dict.fromkeys(r for rs in REGIONS.values() for r in rs))
        if self.region not in allowed:
            raise ValueError(
                f"SCP_REGION must be one of {', '.join(allowed)} in environment {self.environment[:20]!r}, "
                f"not {self.region[:20]!r}"
            )
        return self

    def for_sandbox(self) -> "Settings":
        """The same settings, keeping the sandbox's plans apart from the real ones."""
        copy = self.model_copy(update={"state_dir": self.state_path / "sandbox"})
        copy._approve_command = "scp-aimlops-mcp --sandbox approve"
        return copy

    @property
    def approve_command(self) -> str:
        """What decides about this server's plans in a terminal."""
        return self._approve_command

    @property
    def state_path(self) -> Path:
        """Where the ledger and the audit log are."""
        return self.state_dir or platformdirs.user_state_path("scp-aimlops-mcp")

    @property
    def ledger_path(self) -> Path:
        """Where every plan is kept; not there before the first."""
        return self.state_path / LEDGER_FILE

    @property
    def base_url(self) -> str:
        """Scheme and host of the product's own service, no trailing slash."""
        return self.base_url_of(PRODUCT)

    @property
    def reaches_neighbours(self) -> bool:
        """Whether the neighbouring services have addresses."""
        return self.endpoint is None or _SERVICE in self.endpoint

    def base_url_of(self, service: str, *, is_global: bool = False) -> str:
        """Scheme and host of a service, no trailing slash; a global service's host names no region (facts 2)."""
        template = self.endpoint or (
            "https://{service}.{environment}.samsungsdscloud.com"
            if is_global
            else "https://{service}.{region}.{environment}.samsungsdscloud.com"
        )
        return _filled(template, service, self.region, self.environment)

    @property
    def versions_of_neighbours(self) -> dict[str, str]:
        """The configured API versions, by service."""
        pairs = (pair.partition("=") for pair in (self.service_versions or "").split(",") if pair)
        return {service: version for service, _, version in pairs}

    @property
    def keys(self) -> Keys:
        """What signs requests.

        Raises:
            ConfigurationError: a key is missing.
        """
        missing = [n for n, v in (("SCP_ACCESS_KEY", self.access_key), ("SCP_SECRET_KEY", self.secret_key)) if not v]
        if missing or not self.access_key or not self.secret_key:
            raise ConfigurationError(
                f"{' and '.join(missing)} not set: requests cannot be signed.",
                f"ask the user to set {' and '.join(missing)} in this server's environment (or in "
                f"~/{VENDOR_DIR}/{_CREDENTIALS}) and to restart it; never ask for a key in the chat",
            )
        return Keys(self.access_key, self.secret_key, self.account_id or "", self.auth_token)


class _VendorFiles(PydanticBaseSettingsSource):
    """~/.scpconf/config.json and credentials.json. A broken file is reported, not skipped as the vendor's tool does."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # the base class asks for it; __call__ is what is used

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in (_CONFIG, _CREDENTIALS):
            path = Path.home() / VENDOR_DIR / name
            try:
                content: object = json.loads(path.read_text("utf-8"))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, RecursionError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not valid JSON"
                raise ConfigurationError(f"{path}: {reason}", "correct or remove the file") from None
            if not isinstance(content, dict):
                raise ConfigurationError(f"{path}: must hold a JSON object", "correct or remove the file")
            for key, value in cast("dict[str, Any]", content).items():
                if value not in ("", None):
                    found[f"{name}: {key.replace('_', '-')}"] = value
        return found


def _filled(template: str, service: str, region: str, environment: str) -> str:
    """An address for one service. Plain replacement: nothing else in braces means anything."""
    filled = template.replace(_SERVICE, service)
    return filled.replace("{region}", region).replace("{environment}", environment)


def sources(field: FieldInfo) -> list[str]:
    """Where a setting is read from, first wins: environment variables, then a key of a vendor file."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []


def default_text(field: FieldInfo) -> str:
    """A setting's default as a person would write it; "" when it has none."""
    value: object = field.default
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def choices(field: FieldInfo) -> list[str]:
    """The values that a setting takes, where they are few."""
    return ["true", "false"] if field.annotation is bool else [c for c in get_args(field.annotation) if type(c) is str]


def _environment_of(auth_url: str) -> str:
    """The second host label (facts 3)."""
    try:
        labels = (urlsplit(auth_url).hostname or "").split(".")
    except ValueError:
        labels = []
    if len(labels) < 2:
        raise ValueError("SCP_TF_AUTH_URL must look like https://iam.{environment}.samsungsdscloud.com/v1")
    return labels[1]


def _problems(error: ValidationError) -> list[str]:
    by_alias = {source: sources(field)[0] for field in Settings.model_fields.values() for source in sources(field)}
    problems: list[str] = []
    for problem in error.errors(include_url=False, include_input=False):
        where = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        name = where if where in by_alias else _first_source(where)
        problems.append(f"{name} {message[0].lower() + message[1:]}" if name else message)
    return problems


def _first_source(field_name: str) -> str:
    field = Settings.model_fields.get(field_name)
    return sources(field)[0] if field else field_name
