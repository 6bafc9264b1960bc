"""Sends to a collector by OTLP over HTTP, on one connection that is kept.

Source: OTLP specification 1.9: binary protobuf by POST; 429, 502, 503 and 504 may be tried again,
after `Retry-After` if it is given. A redirect is a refusal: what is told goes where the settings
say and nowhere else. Proxies of the environment are not used.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bailiwick.errors import ConfigError

_AGAIN = frozenset({429, 502, 503, 504})
_BACKOFF_S = 1.0
_MOST_PATIENCE_S = 30.0
_MAX_ANSWER_BYTES = 65536


class Posted(NamedTuple):
    """Whether it was taken; if not, after how many seconds it may be tried again, or None."""

    taken: bool
    again_s: float | None = None


class Collector:
    """One collector. Used by one thread; `abort` may come from another."""

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        timeout_s: float,
        certificate: Path | None = None,
    ) -> None:
        """`endpoint` is the base URL, without `/v1/…`; `certificate` a file of trusted ones.

        Raises `ConfigError` when that file cannot be read.
        """
        url = urlsplit(endpoint)
        self._host, self._port, self._base = url.hostname or "", url.port, url.path.rstrip("/")
        self._tls = _trusting(certificate) if url.scheme == "https" else None
        self._headers = {**headers, "content-type": "application/x-protobuf"}
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes) -> Posted:
        """Send once, within the timeout as a whole. Raises nothing that a peer can cause."""
        kept = self._connection is not None
        connection = self._connection = self._connection or self._connect()
        # The socket's timeout begins anew with each byte: a collector that drips would hold us.
        deadline = threading.Timer(self._timeout_s, self.abort)
        deadline.daemon = True
        deadline.start()
        try:
            connection.request("POST", self._base + path, body, self._headers)
            response = connection.getresponse()
            response.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, UnicodeError):
            self.close()
            # A kept connection may just have been closed from the other side.
            return Posted(False, 0.0 if kept else _BACKOFF_S)
        finally:
            deadline.cancel()
        if not response.isclosed():
            self.close()
        if response.status in _AGAIN:
            return Posted(False, _patience_s(response.getheader("retry-after")))
        return Posted(200 <= response.status < 300)

    def abort(self) -> None:
        """End a request that is under way."""
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout_s, context=self._tls
        )


def _trusting(certificate: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=certificate)
    except OSError as error:
        raise ConfigError(
            f"the certificates of `{certificate}` cannot be read: {error}",
            code="certificate_unreadable",
            help="correct `telemetry: {certificate: …}`, a file in PEM",
        ) from error


def _patience_s(retry_after: str | None) -> float:
    """How long to wait; only seconds are read, and at most half a minute of them."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return _BACKOFF_S
    return min(float(retry_after[:9]), _MOST_PATIENCE_S)
