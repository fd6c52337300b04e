"""OTLP/HTTP: bytes to protobuf messages and back (OTLP specification 1.x, "OTLP/HTTP")."""

import binascii
import json
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]  # the package has no py.typed marker
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from scout_sim.protobuf_limits import exceeds_message_limit

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Limit of a request, as sent and decompressed: a Collector's batch of 8,192 spans is about 10 MB."""

MAX_MESSAGES = 400_000
"""Limit of messages inside a request: a span with 20 attributes is 41, as each value is a message in another."""

_MAX_MEMBERS = 64  # the rest of the body is copied after each member: many small ones would take seconds
_GZIP = 31  # zlib's window bits for a gzip header and trailer
_ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId"})

RequestT = TypeVar("RequestT", bound=Message)


class Encoding(StrEnum):
    """The encoding of a message; the value is its content type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


@dataclass
class OtlpError(Exception):
    """A request is refused as a whole.

    Attributes:
        status: HTTP status of the answer.
        code: `google.rpc.Code` of its body.
        message: The cause, for a person.
        headers: Further headers of the answer.
    """

    status: int
    code: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def body(self, encoding: Encoding) -> bytes:
        """The `google.rpc.Status` of the answer."""
        return write(Status(code=self.code, message=self.message), encoding)


def parse_content_type(content_type: str | None) -> Encoding:
    """Parse a Content-Type header.

    Raises:
        OtlpError: 415 for any other content type.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    try:
        return Encoding(media_type)
    except ValueError:
        accepted = " or ".join(Encoding)
        message = f"Content-Type must be {accepted}, not {media_type or 'absent'}"
        raise OtlpError(415, Code.INVALID_ARGUMENT, message) from None


def decompress(body: bytes, content_encoding: str | None) -> bytes:
    """Undo the Content-Encoding, which may be gzip.

    Raises:
        OtlpError: 415 for another encoding, 413 beyond `MAX_BODY_BYTES`, 400 for a broken stream.
    """
    match (content_encoding or "identity").strip().lower():
        case "identity":
            return body
        case "gzip":
            return _gunzip(body)
        case other:
            raise OtlpError(415, Code.INVALID_ARGUMENT, f"Content-Encoding must be gzip or absent, not {other}")


def too_large() -> OtlpError:
    """Build the error for a body beyond `MAX_BODY_BYTES`."""
    return OtlpError(413, Code.INVALID_ARGUMENT, f"the request is larger than {MAX_BODY_BYTES} bytes")


def cut_off() -> OtlpError:
    """Build the error for a body that ends too early; the client is gone and does not read it."""
    return OtlpError(400, Code.INVALID_ARGUMENT, "the connection closed before the end of the body")


def read(request_type: type[RequestT], body: bytes, encoding: Encoding) -> RequestT:
    """Decode a decompressed body; unknown fields are ignored.

    Raises:
        OtlpError: 400 for a body that is not such a message, 413 beyond `MAX_MESSAGES`.
    """
    request = request_type()
    try:
        if encoding is Encoding.PROTOBUF:
            if exceeds_message_limit(body, request_type, MAX_MESSAGES):
                raise _too_many()
            request.ParseFromString(body)
        else:
            if body.count(b"{") + body.count(b"[") > MAX_MESSAGES:
                raise _too_many()
            json_format.ParseDict(_document(body), request, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        problem = f"the body is not an {request_type.DESCRIPTOR.name}: {error}"
        raise OtlpError(400, Code.INVALID_ARGUMENT, problem) from None
    return request


def write(message: Message, encoding: Encoding) -> bytes:
    """Encode an answer."""
    if encoding is Encoding.PROTOBUF:
        return message.SerializeToString()
    return json_format.MessageToJson(message, indent=None).encode()


def traces_response(rejected: int, reason: str) -> ExportTraceServiceResponse:
    """Build the answer to accepted traces; `partial_success` stays unset when nothing was rejected."""
    response = ExportTraceServiceResponse()
    if rejected:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = reason
    return response


def metrics_response(rejected: int, reason: str) -> ExportMetricsServiceResponse:
    """Build the answer to accepted metrics; `partial_success` stays unset when nothing was rejected."""
    response = ExportMetricsServiceResponse()
    if rejected:
        response.partial_success.rejected_data_points = rejected
        response.partial_success.error_message = reason
    return response


def logs_response(rejected: int, reason: str) -> ExportLogsServiceResponse:
    """Build the answer to accepted logs; `partial_success` stays unset when nothing was rejected."""
    response = ExportLogsServiceResponse()
    if rejected:
        response.partial_success.rejected_log_records = rejected
        response.partial_success.error_message = reason
    return response


def _too_many() -> OtlpError:
    return OtlpError(413, Code.INVALID_ARGUMENT, f"the request has more than {MAX_MESSAGES} messages inside")


def _gunzip(body: bytes) -> bytes:
    members: list[bytes] = []
    room = MAX_BODY_BYTES
    while body:
        if len(members) == _MAX_MEMBERS:
            raise OtlpError(400, Code.INVALID_ARGUMENT, f"the body has more than {_MAX_MEMBERS} gzip members")
        stream = zlib.decompressobj(_GZIP)
        try:
            member = stream.decompress(
                body, room + 1
            )  # one byte more distinguishes a full body from one that is too large
        except zlib.error as error:
            raise OtlpError(400, Code.INVALID_ARGUMENT, f"the body is not gzip: {error}") from None
        if len(member) > room:
            raise too_large()
        if not stream.eof:
            raise OtlpError(400, Code.INVALID_ARGUMENT, "the body is not gzip: it ends too early")
        room -= len(member)
        members.append(member)
        body = stream.unused_data
    return b"".join(members)


def _document(body: bytes) -> dict[str, object]:
    document = json.loads(body, object_hook=_ids_from_hex)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the sender gets the same answer as for any wrong body
    return document


def _ids_from_hex(fields: dict[str, object]) -> dict[str, object]:
    """OTLP/JSON has ids in hex where protobuf's own JSON mapping expects base64."""
    for name in _ID_FIELDS & fields.keys():
        digits = fields[name]
        if isinstance(digits, str):
            try:
                fields[name] = binascii.b2a_base64(binascii.unhexlify(digits), newline=False).decode()
            except ValueError:
                raise ValueError(f"{name} is not hexadecimal: {digits[:40]!r}") from None
    return fields
