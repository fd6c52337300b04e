"""A real OTLP backend for the tests: HTTP and gRPC on 127.0.0.1, which can be away, refuse, or stay silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # ships no types
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


@dataclass
class Received:
    """What arrived; each item with the attributes of its resource."""

    requests: list[str] = field(default_factory=list)
    spans: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    logs: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    metric_resources: list[dict[str, Any]] = field(default_factory=list)

    def span_names(self) -> list[str]:
        """The names of the spans, sorted."""
        return sorted(span.name for span, _ in self.spans)

    def log_bodies(self) -> list[str]:
        """The texts of the log records, in the order of arrival."""
        return [record.body.string_value for record, _ in self.logs]

    def take_traces(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of a request."""
        for group in request.resource_spans:
            resource = attributes(group.resource.attributes)
            self.spans += [(span, resource) for scope in group.scope_spans for span in scope.spans]

    def take_logs(self, request: ExportLogsServiceRequest) -> None:
        """Keep the records of a request."""
        for group in request.resource_logs:
            resource = attributes(group.resource.attributes)
            self.logs += [(record, resource) for scope in group.scope_logs for record in scope.log_records]

    def take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Keep the latest state of each metric."""
        for group in request.resource_metrics:
            self.metric_resources.append(attributes(group.resource.attributes))
            self.metrics |= {metric.name: metric for scope in group.scope_metrics for metric in scope.metrics}


class OtlpBackend:
    """OTLP/HTTP at `url`; answers with `status`."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.received = Received()
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.received.requests.append(self.path)
                if backend.status == 200:
                    backend._take(self.path, body)
                self.send_response(backend.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, path: str, body: bytes) -> None:
        match path:
            case "/v1/traces":
                self.received.take_traces(ExportTraceServiceRequest.FromString(body))
            case "/v1/logs":
                self.received.take_logs(ExportLogsServiceRequest.FromString(body))
            case "/v1/metrics":
                self.received.take_metrics(ExportMetricsServiceRequest.FromString(body))


class GrpcTraceBackend(TraceServiceServicer):
    """OTLP/gRPC for traces; answers with `code`."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.OK
        self.received = Received()

    def Export(  # noqa: N802 - named by the protocol
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """Take a request, or abort with `code`."""
        self.received.requests.append("Export")
        if self.code is not grpc.StatusCode.OK:
            context.abort(self.code, "as the test wants")
        self.received.take_traces(request)
        return ExportTraceServiceResponse()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address while it serves."""
        server = grpc.server(ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(self, server)  # type: ignore[no-untyped-call]  # generated without types
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def attributes(pairs: Any) -> dict[str, Any]:
    """OTLP attributes as a dictionary."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
