"""The pods' reports of their sensors, over HTTP."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from lightkube.resources.core_v1 import Pod

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
        causes: Number of its disconnected sensors by cause.
    """

    connected: int
    generation: int
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
        addresses = {
            pod.metadata.name: pod.status.podIP
            for pod in pods
            if pod.metadata and pod.metadata.name and pod.status and pod.status.podIP
        }
        answers = await asyncio.gather(*map(self._ask, addresses.values()))
        return {name: report for name, report in zip(addresses, answers, strict=True) if report is not None}

    async def _ask(self, address: str) -> Report | None:
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._slots, self._http.get(f"http://{host}:{self._port}/ready") as answer:
                return _parse(await answer.json())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:  # a pod that starts or stops does not answer
            _logger.debug("%s does not answer: %s", host, error)
            return None


def _parse(answer: Any) -> Report | None:
    if not isinstance(answer, Mapping) or not isinstance(connected := answer.get("connected"), int):
        return None
    generation = answer.get("generation")
    causes = answer.get("causes")
    return Report(
        connected,
        generation if isinstance(generation, int) else 0,
        {cause[:_SHOWN]: count for cause, count in causes.items() if isinstance(count, int)}
        if isinstance(causes, Mapping)
        else {},
    )
