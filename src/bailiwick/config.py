"""The settings: few, frozen, read once at the edge. Nothing else reads a setting's source."""

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from bailiwick.errors import ConfigError
from bailiwick.values import JSON, did_you_mean
from bailiwick.yaml_text import read_yaml

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Span = Annotated[float, msgspec.Meta(gt=0)]

# Source: RFC 9110, 5.1 and 5.5.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}").fullmatch
_FIELD_VALUE = re.compile(r"[\x20-\x7e]*").fullmatch


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class CredentialSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one secret comes from, and which hosts and tools it may serve, for which use.

    An attacker who can change this can send the secret to a host of his own.
    """

    env: str | None = None
    file: str | None = None
    hosts: tuple[str, ...]
    tools: tuple[str, ...]
    access: Literal["read", "write"]
    scheme: str = "Bearer"


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How telemetry is sent, and how much is told. `headers` may hold the collector's secret.

    `child_spans` is the share of ordinary actions that get a span a step; those that failed, or
    took `slow_seconds`, always do. Metrics are exported every `interval_seconds`.
    `events` is a file, or `stderr`. With `content` spans have arguments and results, redacted;
    `redact` names further members to leave out.
    """

    headers: Mapping[str, str] = {}
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
    certificate: str | None = None
    resource: Mapping[str, str] = {}
    child_spans: Share = 0.01
    slow_seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 1.0
    interval_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 60.0
    events: str | None = None
    content: bool = False
    redact: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if not _TOKEN(name) or not _FIELD_VALUE(value):
                raise ValueError("a header's name or value cannot stand in an HTTP request")

    def __repr__(self) -> str:
        return "TelemetrySettings(…)"  # no header


class WitnessSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The witness that cosigns the ledger's heads: its address, its vkey, and what waits for it.

    An attacker who can change this can name a witness of his own.
    """

    url: str
    key: str
    required: bool = False


class EmailSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mail server by which queues are told (SMTP, RFC 5321; STARTTLS, RFC 3207).

    `to` are addresses by queue. `credential` names the password, which only `notify.email` may
    use; without a `username` nobody logs in. `certificate` is a CA's file, beside the system's.
    """

    host: str
    sender: str
    to: Mapping[str, tuple[str, ...]]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    starttls: bool = True
    username: str = ""
    credential: str | None = None
    certificate: str | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0

    def __post_init__(self) -> None:
        if bool(self.username) != bool(self.credential):
            raise ValueError("a mail user needs a credential, and a credential a user")
        if self.username and not self.starttls:
            raise ValueError("a password does not go out without STARTTLS")
        for address in (self.sender, *(each for all_of in self.to.values() for each in all_of)):
            if not _ADDRESS(address):
                raise ValueError("an e-mail address is not a plain `name@host`")


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where notices are posted, signed by Standard Webhooks; `credential` names `whsec_…`."""

    url: str
    credential: str
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0

    def __post_init__(self) -> None:
        if not _is_collector(self.url):
            raise ValueError("the webhook's `url` is not an http or https address without a user")


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people are told of requests. `tell` adds to what is told the subject, the resource.

    An attacker who can change this learns who asks for what, and can keep people from knowing.
    """

    email: EmailSettings | None = None
    webhook: WebhookSettings | None = None
    tell: tuple[Literal["subject", "resource"], ...] = ()


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `bailiwick up` listens, and how long it waits.

    `url` is its address as others see it, by default the one that it listens on; tokens are for
    that address alone. Beyond loopback it needs `certificate` and `key`, or the word that a proxy
    before it ends TLS (`behind_proxy`). `hold_seconds` is how long an answer that waits for people
    is held for a client that hears of progress; `drain_seconds` how long it takes to leave.
    `requests` is where a line a request is written: a file, or `stderr`.

    An attacker who can change this can have tokens sent in clear, or to himself.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8787
    url: str | None = None
    certificate: str | None = None
    key: str | None = None
    behind_proxy: bool = False
    hold_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 20.0
    requests: str | None = None
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 30.0

    def __post_init__(self) -> None:
        if self.url is not None and not _is_collector(self.url):
            raise ValueError("`serve.url` is not an http or https address without a user")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("a certificate needs its key, and a key its certificate")
        if not (self.certificate or self.behind_proxy or _is_loopback(self.host)):
            raise ValueError(
                "beyond loopback `serve` needs `certificate` and `key`, or `behind_proxy: true`"
            )


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bailiwick.yaml`, whole. Relative paths start at the project's folder.

    Times are in the unit of their name. What an attacker can do with each is in SECURITY.md.
    """

    project: str = "."
    tenant: str = "default"
    store: str = "state/bailiwick.sqlite"
    keys: str = "keys"
    log_origin: str = "bailiwick.local/log"
    credentials: Mapping[str, CredentialSource] = {}
    max_argument_bytes: Count = 256 * 1024
    max_result_bytes: Count = 1024 * 1024
    dedupe_window_seconds: Annotated[int, msgspec.Meta(ge=0)] = 600
    park_seconds: Count = 7 * 86400
    token_seconds: Annotated[int, msgspec.Meta(ge=61, le=600)] = 600
    lease_seconds: Span = 5.0
    rejudge_limit: Count = 8
    batch_limit: Count = 256
    batch_gap_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    breaker_threshold: Count = 5
    breaker_open_seconds: Span = 30.0
    tick_seconds: Span = 1.0
    free_space_watermark_mb: Annotated[int, msgspec.Meta(ge=0)] = 64
    telemetry_endpoint: str | None = None
    telemetry: TelemetrySettings = TelemetrySettings()
    witness: WitnessSource | None = None
    tiles: str | None = None
    notify: NotifySettings = NotifySettings()
    serve: ServeSettings = ServeSettings()

    def __post_init__(self) -> None:
        if self.telemetry_endpoint is not None and not _is_collector(self.telemetry_endpoint):
            raise ValueError("`telemetry_endpoint` is not an http or https address without a user")

    def __repr__(self) -> str:
        return f"Settings(project={self.project!r}, tenant={self.tenant!r}, …)"  # no password

    @property
    def is_shared(self) -> bool:
        """Whether the store is a PostgreSQL database, which other processes may use as well."""
        return self.store.startswith(("postgresql://", "postgres://"))

    @property
    def data(self) -> Path:
        """The folder of what this machine keeps of the project's state."""
        return self.path("state") if self.is_shared else self.path(self.store).parent

    @property
    def socket(self) -> Path:
        """Where commands reach a process that has this project open."""
        if self.is_shared:
            return self.data / "bailiwick.sock"
        return self.path(self.store).with_suffix(".sock")

    def path(self, relative: str) -> Path:
        """Resolve a path of the settings against the project's folder."""
        return Path(self.project) / relative


def load_settings(project: Path) -> Settings:
    """Read `bailiwick.yaml` of a project's folder. Raises `ConfigError` naming file and member."""
    file = project / "bailiwick.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"`{file}` does not exist",
            code="project_missing",
            help="run `bailiwick init` in the project's folder",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"`{file}` is not UTF-8 text: {error.reason} at byte {error.start}",
            code="settings_invalid",
            help="save it as UTF-8",
        ) from error
    content = read_yaml(text, file.name)
    if not isinstance(content, dict):
        raise ConfigError(
            f"`{file}` is not a mapping of settings",
            code="settings_invalid",
            help="write each setting as `name: value`",
        )
    try:
        given = _filled_in(content, os.environ)
        return msgspec.convert({"project": str(project), **given}, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"`{file}` cannot be read: {error}",
            code="settings_invalid",
            help=_meant(content) or "compare it with the settings table in the README",
        ) from error


def _meant(content: Mapping[str, JSON]) -> str:
    """The setting that the first name which is none may stand for; empty if there is no such."""
    known = [each for each in Settings.__struct_fields__ if each != "project"]
    meant = (did_you_mean(str(name), known) for name in content if name not in known)
    return next(filter(None, meant), "")


def _filled_in(content: Mapping[str, JSON], variables: Mapping[str, str]) -> dict[str, JSON]:
    """The file's settings, and from OpenTelemetry's own variables what it leaves out.

    Source: OpenTelemetry specification, "OTLP exporter" and "SDK environment variables"; times
    there are milliseconds. Raises `ConfigError` for a variable that cannot be read.
    """

    def pairs(name: str) -> dict[str, JSON]:
        parts = [part.partition("=") for part in variables.get(name, "").split(",") if part.strip()]
        if not all(key.strip() and sign for key, sign, _ in parts):
            raise _variable(name, "`key=value,key=value`")
        return {unquote(key.strip()): unquote(value.strip()) for key, _, value in parts}

    def seconds(name: str) -> float:
        if not variables[name].strip().isdecimal():
            raise _variable(name, "a number of milliseconds")
        return int(variables[name]) / 1000

    told: dict[str, JSON] = {}
    if headers := pairs("OTEL_EXPORTER_OTLP_HEADERS"):
        told["headers"] = headers
    resource = pairs("OTEL_RESOURCE_ATTRIBUTES")
    if service := variables.get("OTEL_SERVICE_NAME"):
        resource["service.name"] = service
    if resource:
        told["resource"] = resource
    if variables.get("OTEL_EXPORTER_OTLP_TIMEOUT"):
        told["timeout_seconds"] = seconds("OTEL_EXPORTER_OTLP_TIMEOUT")
    if variables.get("OTEL_METRIC_EXPORT_INTERVAL"):
        told["interval_seconds"] = seconds("OTEL_METRIC_EXPORT_INTERVAL")
    if variables.get("OTEL_EXPORTER_OTLP_CERTIFICATE"):
        told["certificate"] = variables["OTEL_EXPORTER_OTLP_CERTIFICATE"]
    filled = dict(content)
    own = content.get("telemetry", {})
    if isinstance(own, Mapping):
        filled["telemetry"] = {**told, **own}
    if endpoint := variables.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        filled.setdefault("telemetry_endpoint", endpoint)
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        filled["telemetry_endpoint"] = None
    return filled


def _is_collector(endpoint: str) -> bool:
    try:
        url = urlsplit(endpoint)
        plain = url.username is None and url.port != 0 and not (url.query or url.fragment)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and plain


def _variable(name: str, wanted: str) -> ConfigError:
    return ConfigError(
        f"the environment's `{name}` is not {wanted}",
        code="environment_invalid",
        help="correct it, or unset it and write `telemetry` in bailiwick.yaml",
    )


def session_file(project: Path) -> Path:
    """Where this user's log-in to a project is kept: among the user's own state, never in it.

    Source: XDG Base Directory specification, `XDG_STATE_HOME`.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = given if given.is_absolute() else Path.home() / ".local" / "state"
    name = hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:32]
    return state / "bailiwick" / f"{name}.json"
