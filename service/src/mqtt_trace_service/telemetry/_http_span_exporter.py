"""The SDK's HTTP exporter of spans with our encoder, which the SDK offers no way to plug in.

Import it only once `_sdk_compat.ENCODER` is known to be there.
"""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http._common import RequestPayloadTooLargeError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE

from mqtt_trace_service.telemetry._encoding import encode_spans


class HttpSpanExporter(OTLPSpanExporter):
    """`OTLPSpanExporter` with `encode_spans` as its encoder."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans once, with the SDK's few retries; `RetryingExporter` handles the exceptions."""
        with self._metrics.export_operation(len(spans)) as result:
            request = encode_spans(spans)
            if 0 < self._max_request_size < len(request):
                result.error = RequestPayloadTooLargeError(
                    f"a request of {len(request)} bytes, of {self._max_request_size} allowed"
                )
                return SpanExportResult.FAILURE
            answer = self._client.export(request)
            if answer.success:
                return SpanExportResult.SUCCESS
            result.error = answer.error
            if answer.status_code is not None:
                result.error_attrs = {HTTP_RESPONSE_STATUS_CODE: answer.status_code}
            return SpanExportResult.FAILURE
