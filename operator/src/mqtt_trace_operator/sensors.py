"""What the pods of a fleet say of their sensors, over HTTP."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from lightkube.resources.core_v1 import Pod

_logger = logging.getLogger(__name__)

_ANSWERS_WITHIN_S = 2.0
_AT_ONCE = 32


@dataclass(frozen=True)
class Report:
    """What a pod answers on `GET /ready`, ready or not.

    Attributes:
        connected: How many of its sensors are connected to the broker.
        generation: Of the fleet file that it works by; 0 when it does not say.
    """

    connected: int
    generation: int


class Sensors:
    """Asks pods, until it is closed.

    Args:
        port: Where they answer.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWERS_WITHIN_S))

    async def close(self) -> None:
        """Close connections."""
        await self._http.close()

    async def reports(self, pods: Iterable[Pod]) -> Mapping[str, Report]:
        """The reports of those pods that answer, by the pods' names."""
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
            async with self._turns, self._http.get(f"http://{host}:{self._port}/ready") as answer:
                return _report(await answer.json())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:  # a pod that starts or ends has no answer
            _logger.debug("%s does not answer: %s", host, error)
            return None


def _report(said: Any) -> Report | None:
    if not isinstance(said, Mapping) or not isinstance(connected := said.get("connected"), int):
        return None
    generation = said.get("generation")
    return Report(connected, generation if isinstance(generation, int) else 0)
