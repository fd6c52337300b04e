"""Reads and validates request bodies, and builds the answers."""

import json
from http import HTTPStatus
from typing import NoReturn

from starlette.requests import ClientDisconnect, Request


class Refused(Exception):  # noqa: N818 - it becomes an answer, it is not our error
    """A body that is not echoed.

    Attributes:
        status: The 4xx status to answer with.
        reason: Why, for the client.
    """

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def read(request: Request, max_bytes: int) -> bytes:
    """The whole body of a JSON request; at most `max_bytes` are kept in memory.

    Raises:
        Refused: 415 for another content type, 413 for a longer body, with or without Content-Length, 400 for an invalid
            length, and for an incomplete body: its client is gone, but log and span have the reason.
    """
    content_type = request.headers.get("content-type", "application/json")
    if not _is_json(content_type):
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/json, not {content_type}")
    if _length(request.headers.get("content-length", "0")) > max_bytes:
        raise _too_long(max_bytes)
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise _too_long(max_bytes)
    except ClientDisconnect as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the connection closed before the end of the body") from error
    return body


def echoed(body: bytes) -> bytes:
    """`{"echoed": <body>}` for a JSON text; the body is copied unchanged, so no digit is lost.

    Raises:
        Refused: 400 for a body that is not JSON text in UTF-8 (RFC 8259).
    """
    try:
        _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _not_json(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise _not_json("nested too deeply") from error
    except ValueError as error:  # a number with thousands of digits, or NaN
        raise _not_json(str(error)) from error
    return b'{"echoed": %b}' % body


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _length(announced: str) -> int:
    try:
        return int(announced)
    except ValueError as error:  # the server checks that it is a number, but not its leading zeros
        raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length has too many digits") from error


def _not_json(reason: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {reason}")


def _too_long(max_bytes: int) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {max_bytes} bytes")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
