"""A collector for OTLP over HTTP: counts the spans that arrive, and says so when it is ended.

`python -m bench.receiver` prints its base URL, serves until its standard input is closed, and then
prints how many spans of governed actions it was sent.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bench.timing import tell

_ANSWER = ExportTraceServiceResponse().SerializeToString()


class Receiver(BaseHTTPRequestHandler):
    """Takes spans and metrics in protobuf, on connections that are kept."""

    protocol_version = "HTTP/1.1"
    spans = 0

    def do_POST(self) -> None:
        """Count the spans of one export."""
        body = self.rfile.read(int(self.headers["content-length"]))
        spans = body if self.path == "/v1/traces" else b""  # metrics are taken, and not counted
        for resource in ExportTraceServiceRequest.FromString(spans).resource_spans:
            for scope in resource.scope_spans:
                Receiver.spans += sum(span.name.startswith("execute_tool") for span in scope.spans)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(_ANSWER)))
        self.end_headers()
        self.wfile.write(_ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of single requests."""


def main() -> None:
    """Serve on a free port of the loopback until nobody listens to us any more."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()
    server.shutdown()
    tell({"spans": Receiver.spans})


if __name__ == "__main__":
    main()
