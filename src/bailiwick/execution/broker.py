"""The credential broker: secrets from the environment and from files, each for a stated use.

A secret is given only for a host, a tool and a use (read or write) that its entry in the settings
names; a write credential never reads and a read credential never writes. A file is read again when
its modification time (or change time, size, inode) is another, so a rotated secret is used by the
next request; the environment is read at each request. Beside `config.py` no other module reads it.
"""

import os
import stat
from pathlib import Path

from bailiwick.config import CredentialSource, Settings
from bailiwick.errors import ExecutionError
from bailiwick.values import shown

_MAX_SECRET_BYTES = 16 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_Stamp = tuple[int, int, int, int]


class CredentialBroker:
    """Gives the secrets of `Settings.credentials`. Its repr, errors and logs hold none of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files: dict[Path, tuple[_Stamp, str]] = {}

    def secret(self, name: str, tool: str, host: str, write: bool) -> str:
        """Give the secret `name`, if it may serve this tool at this host for this use.

        `host` is as in a URL, with its port unless that is the scheme's own. Raises
        `ExecutionError`: credential_unknown, credential_wrong_use, credential_wrong_tool,
        credential_wrong_host, credential_missing, credential_unreadable.
        """
        source = self._settings.credentials.get(name)
        if source is None:
            raise _no(name, "unknown", "is not in the settings", "add it under `credentials`")
        if (source.access == "write") is not write:
            raise _no(
                name,
                "wrong_use",
                f"is for {source.access}s and was asked for a {'write' if write else 'read'}",
                "name a credential of the other access; one secret never serves both",
            )
        if not any(tool_matches(pattern, tool) for pattern in source.tools):
            raise _no(
                name,
                "wrong_tool",
                f"may not serve the tool `{shown(tool)}`",
                "add the tool, or `prefix.*`, to its `tools`",
            )
        if not any(host_matches(pattern, host) for pattern in source.hosts):
            raise _no(
                name,
                "wrong_host",
                f"may not be sent to `{shown(host)}`",
                "add the host to its `hosts`, if the secret is really meant for it",
            )
        return _usable(name, self._value(name, source))

    def _value(self, name: str, source: CredentialSource) -> str:
        if (source.env is None) == (source.file is None):
            raise _no(name, "missing", "names not one source", "give it either `env` or `file`")
        if source.env is not None:
            value = os.environ.get(source.env, "")
            if not value:
                raise _no(name, "missing", f"is not in the environment as `{source.env}`", "set it")
            return value
        assert source.file is not None
        return self._from_file(name, self._settings.path(source.file))

    def _from_file(self, name: str, path: Path) -> str:
        try:
            known = self._files.get(path)
            if known is not None and known[0] == _stamp(path.stat()):
                return known[1]
            # The mode is that of the very file that is read: opened first, then looked at.
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                raw = file.read(_MAX_SECRET_BYTES + 1)
        except FileNotFoundError:
            self._files.pop(path, None)
            raise _no(name, "missing", f"has no file `{path}`", "create it, mode 0600") from None
        except OSError as error:
            reason = f"cannot be read from `{path}`: {error.strerror}"
            raise _no(name, "unreadable", reason, "let this process read it, mode 0600") from None
        if status.st_mode & _OTHERS:
            reason = f"is in `{path}`, which others may use (mode {status.st_mode & 0o777:04o})"
            raise _no(name, "unreadable", reason, f"chmod 600 {path}")
        if len(raw) > _MAX_SECRET_BYTES:
            raise _no(name, "unreadable", "is larger than 16 KiB", "put only the secret there")
        # Bytes that are not ASCII become characters that `_usable` refuses, without an exception
        # that would carry them.
        value = raw.decode("ascii", "replace").strip()
        self._files[path] = (_stamp(status), value)
        return value


def tool_matches(pattern: str, tool: str) -> bool:
    """Tell whether a tool is meant: by its exact name, or by `prefix.*`."""
    if pattern.endswith(".*"):
        return tool.startswith(pattern[:-1]) and len(tool) > len(pattern) - 1
    return pattern == tool


def host_matches(pattern: str, host: str) -> bool:
    """Tell whether a host is meant: exactly, or by `*.` for one label (as in RFC 6125, 6.4.3).

    A pattern with a port means that port; one without means every port of the host.
    """
    wanted, wanted_port = _host_and_port(pattern.lower())
    given, port = _host_and_port(host.lower())
    if wanted_port and wanted_port != port:
        return False
    if wanted.startswith("*."):
        label, _, rest = given.partition(".")
        return bool(label) and rest == wanted[2:] and "." in rest
    return bool(wanted) and wanted == given


def _host_and_port(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and port.isdecimal() and not host.endswith(":") else (text, "")


def _stamp(status: os.stat_result) -> _Stamp:
    # The change time too: it moves when the mode does, which must then be looked at again.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _usable(name: str, value: str) -> str:
    if not value:
        raise _no(name, "missing", "is empty", "put the secret where the settings say")
    if not (value.isascii() and value.isprintable()):
        raise _no(
            name,
            "unreadable",
            "holds characters that no header may carry",
            "store the secret as one line of printable ASCII",
        )
    return value


def _no(name: str, code: str, reason: str, help: str) -> ExecutionError:
    return ExecutionError(
        f"the credential `{shown(name)}` {reason}", code=f"credential_{code}", help=help
    )
