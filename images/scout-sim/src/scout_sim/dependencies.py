"""The dependencies of the routes, and the body of their requests."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from scout_sim.otlp import MAX_BODY_BYTES, cut_off, too_large
from scout_sim.settings import Settings
from scout_sim.store import Store
from scout_sim.tokens import Tokens


@dataclass(frozen=True)
class Dependencies:
    """The settings, the tokens and the store of an application."""

    settings: Settings
    tokens: Tokens
    store: Store


async def _dependencies(request: Request) -> Dependencies:
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Injected = Annotated[Dependencies, Depends(_dependencies)]


async def read_body(request: Request) -> bytes:
    """Read the body of a request as it was sent.

    Raises:
        OtlpError: 413 beyond `MAX_BODY_BYTES`, after reading the body to its end: a client that is still sending would
            see its connection reset instead of the answer. 400 if the client hangs up before the end.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                chunks.clear()
            else:
                chunks.append(chunk)
    except ClientDisconnect:
        raise cut_off() from None
    if size > MAX_BODY_BYTES:
        raise too_large()
    return b"".join(chunks)
