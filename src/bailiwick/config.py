"""The settings: few, frozen, read once at the edge. Nothing else reads a setting's source."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bailiwick.errors import ConfigError
from bailiwick.yaml_text import read_yaml


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


class WitnessSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The witness that cosigns the ledger's heads: its address, its vkey, and what waits for it.

    An attacker who can change this can name a witness of his own.
    """

    url: str
    key: str
    required: bool = False


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
    max_argument_bytes: int = 256 * 1024
    max_result_bytes: int = 1024 * 1024
    dedupe_window_seconds: int = 600
    park_seconds: int = 7 * 86400
    token_seconds: Annotated[int, msgspec.Meta(ge=61, le=600)] = 600
    lease_seconds: float = 5.0
    rejudge_limit: int = 8
    batch_limit: int = 256
    batch_gap_ms: float = 0.2
    breaker_threshold: int = 5
    breaker_open_seconds: float = 30.0
    tick_seconds: float = 1.0
    free_space_watermark_mb: int = 64
    telemetry_endpoint: str | None = None
    witness: WitnessSource | None = None
    tiles: str | None = None

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
    content = read_yaml(text, file.name)
    if not isinstance(content, dict):
        raise ConfigError(f"`{file}` is not a mapping of settings", code="settings_invalid")
    try:
        return msgspec.convert({"project": str(project), **content}, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"`{file}` cannot be read: {error}",
            code="settings_invalid",
            help="compare it with the settings table in the README",
        ) from error


def session_file(project: Path) -> Path:
    """Where this user's log-in to a project is kept: among the user's own state, never in it.

    Source: XDG Base Directory specification, `XDG_STATE_HOME`.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = given if given.is_absolute() else Path.home() / ".local" / "state"
    name = hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:32]
    return state / "bailiwick" / f"{name}.json"
