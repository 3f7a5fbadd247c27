"""
An OpenTelemetry collector on loopback that decodes what it receives.
"""

import gzip
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


class Receiving:
    """
    A collector on loopback that keeps what it receives, by path.
    """

    def __init__(self) -> None:
        """
        Start it.
        """
        self.received: dict[str, list[bytes]] = defaultdict(list)
        self.headers: list[dict[str, str]] = []
        self.status = 200
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                ours.received[self.path].append(
                    gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body
                )
                ours.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(ours.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """
        Stop it.
        """
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def spans(self) -> list[Any]:
        """
        Every span.
        """
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.received["/v1/traces"]]
        return [
            span
            for one in requests
            for resource in one.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, Any]:
        """
        The metrics of the last export, by name.
        """
        last = ExportMetricsServiceRequest.FromString(self.received["/v1/metrics"][-1])
        return {
            metric.name: metric
            for resource in last.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def plain(attributes: "list[KeyValue]") -> dict[str, Any]:
    """
    Attributes as Python's own values.
    """
    found: dict[str, Any] = {}
    for one in attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, str(kind))
        found[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found
