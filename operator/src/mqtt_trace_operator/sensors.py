"""The pods' reports of their sensors and of their results, over HTTP."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from lightkube.resources.core_v1 import Pod

from mqtt_trace_operator.results.figures import Results

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_TIMEOUT_S = 2.0
_MAX_CONCURRENT = 32
_SHOWN = 200
"""Characters of a cause in a condition's message."""


@dataclass(frozen=True)
class Report:
    """The answer of a pod to `GET /ready`, ready or not.

    Attributes:
        connected: Number of its sensors that are connected to the broker.
        generation: Generation of the fleet file that it uses; 0 if it reports none.
        started_at: When the scenario in this file starts, in seconds since the epoch; None if it reports none.
        causes: Number of its disconnected sensors by cause.
    """

    connected: int
    generation: int
    started_at: float | None = None
    causes: Mapping[str, int] = field(default_factory=dict)


class Sensors:
    """Asks pods for their reports.

    Args:
        port: The port of the pods' health server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))

    async def close(self) -> None:
        """Close its connections."""
        await self._http.close()

    async def read_reports(self, pods: Iterable[Pod]) -> Mapping[str, Report]:
        """Read the reports of the pods that answer, by pod name."""
        return await self._ask_all(pods, "/ready", _parse)

    async def read_results(self, pods: Iterable[Pod]) -> Mapping[str, Results]:
        """Read the results of the pods that answer, by pod name."""
        return await self._ask_all(pods, "/results", Results.from_json)

    async def _ask_all(self, pods: Iterable[Pod], path: str, parse: Callable[[Any], T | None]) -> Mapping[str, T]:
        addresses = {
            pod.metadata.name: pod.status.podIP
            for pod in pods
            if pod.metadata and pod.metadata.name and pod.status and pod.status.podIP
        }
        answers = await asyncio.gather(*(self._ask(address, path, parse) for address in addresses.values()))
        return {name: answer for name, answer in zip(addresses, answers, strict=True) if answer is not None}

    async def _ask(self, address: str, path: str, parse: Callable[[Any], T | None]) -> T | None:
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._slots, self._http.get(f"http://{host}:{self._port}{path}") as answer:
                return parse(await answer.json())
        except (aiohttp.ClientError, TimeoutError) as error:  # a pod that starts or stops does not answer
            _logger.debug("%s does not answer: %s", host, error)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # a pod of another version
            _logger.debug("%s answers %s with something else: %r", host, path, error)
        return None


def _parse(answer: Any) -> Report | None:
    if not isinstance(answer, Mapping) or not isinstance(connected := answer.get("connected"), int):
        return None
    generation, started_at, causes = answer.get("generation"), answer.get("started_at"), answer.get("causes")
    return Report(
        connected,
        generation if isinstance(generation, int) else 0,
        float(started_at) if isinstance(started_at, int | float) else None,
        {cause[:_SHOWN]: count for cause, count in causes.items() if isinstance(count, int)}
        if isinstance(causes, Mapping)
        else {},
    )
