"""A collector for OTLP over HTTP on a real socket, which can be made to misbehave."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bailiwick.config import Settings, TelemetrySettings
from bailiwick.telemetry.otlp import OtlpTelemetry

Behaviour = Callable[["Taking", int], None]


class Collector(ThreadingHTTPServer):
    """Takes what it is sent; `behave` answers in its stead, told how many requests came before."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behave: Behaviour | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.bodies: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.behave = behave
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def everything(self) -> bytes:
        return b"".join(body for _, body in self.bodies)

    def spans(self) -> list[Any]:
        return [
            span
            for path, body in self.bodies
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        """The newest export's metrics, by name."""
        return metrics_of([body for path, body in self.bodies if path == "/v1/metrics"][-1])


class Taking(BaseHTTPRequestHandler):
    """One connection to the collector."""

    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        before = len(self.server.bodies)
        self.server.bodies.append((self.path, body))
        self.server.headers.append({key.lower(): value for key, value in self.headers.items()})
        if self.server.behave is not None:
            self.server.behave(self, before)
        else:
            self.answer(200, ExportTraceServiceResponse().SerializeToString())

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of single requests."""


def metrics_of(body: bytes) -> dict[str, Any]:
    """The metrics of an export, by name."""
    return {
        metric.name: metric
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def hangs(taking: Taking, before: int) -> None:
    """Takes a request and never answers."""
    taking.server.over.wait(30)
    taking.close_connection = True


def dies(taking: Taking, before: int) -> None:
    """Takes a request and closes the connection."""
    taking.connection.shutdown(socket.SHUT_RDWR)
    taking.close_connection = True


def drips(taking: Taking, before: int) -> None:
    """Answers so slowly that no read of a byte takes long, and the whole never ends."""
    taking.wfile.write(b"HTTP/1.1 200 OK\r\nx-y: ")
    try:
        while not taking.server.over.wait(0.05):
            taking.wfile.write(b"z")
            taking.wfile.flush()
    except OSError:
        pass
    taking.close_connection = True


def answers(status: int, **headers: str) -> Behaviour:
    """Answers every request with a status."""
    return lambda taking, before: taking.answer(status, b"no", **headers)


@contextmanager
def collecting(behave: Behaviour | None = None) -> Iterator[Collector]:
    """A collector on a free port of the loopback."""
    server = Collector(behave)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def settings(endpoint: str, **options: Any) -> Settings:
    """Settings that name a collector."""
    return Settings(telemetry_endpoint=endpoint, telemetry=TelemetrySettings(**options))


def to(server: Collector, **options: Any) -> OtlpTelemetry:
    """The door to a collector."""
    return OtlpTelemetry(settings(server.url, **options))
