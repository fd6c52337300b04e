"""Reads from the Collector's own metrics what its exporters delivered."""

import asyncio
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from mqtt_trace_service import host_and_port

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?P<labels>.*)\})? (?P<value>\S+)", re.MULTILINE)
_SCOUT = "otlp_http/b14"


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """The counters of one exporter of the Collector.

    Attributes:
        sent: Spans that the backend accepted.
        failed: Spans that the Collector dropped.
    """

    sent: float
    failed: float


def backend_name(exporter: str) -> str:
    """Return the user's name of an exporter's backend: that of `collector.exporters`, or Scout."""
    return "Scout" if exporter == _SCOUT else exporter.rpartition("/")[2]


async def read_span_counts(
    http: aiohttp.ClientSession, metrics_url: str, exporters: Sequence[str]
) -> dict[str, SpanCounts]:
    """Read and add the counters of all Collector pods, one for each IP address of the host name, by exporter.

    Raises:
        OSError: A pod cannot be reached.
        aiohttp.ClientError: The same.
        TimeoutError: A pod does not answer in time.
        ValueError: A pod answers with something else.
    """
    url = urlsplit(metrics_url)
    port = url.port or url.scheme
    addresses = await asyncio.get_running_loop().getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM)
    pages = []
    for host, number in sorted({(str(address[0]), int(address[1])) for *_, address in addresses}):
        async with http.get(urlunsplit(url._replace(netloc=host_and_port(host, number)))) as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise ValueError(f"answered {answer.status}")
            pages.append(await answer.text())
    return {exporter: parse_span_counts("\n".join(pages), exporter) for exporter in exporters}


def parse_span_counts(metrics: str, exporter: str) -> SpanCounts:
    """Read an exporter's counters from the Collector's metrics in Prometheus text format."""
    return SpanCounts(
        sent=_total(metrics, "otelcol_exporter_sent_spans", exporter),
        failed=_total(metrics, "otelcol_exporter_send_failed_spans", exporter),
    )


def why_not_delivered(before: Mapping[str, SpanCounts], now: Mapping[str, SpanCounts]) -> str | None:
    """Return the reason why not every exporter delivered spans; None if every one did, and none dropped any."""
    for exporter, counts in now.items():
        if (dropped := counts.failed - before[exporter].failed) > 0:
            return f"the Collector dropped {dropped:g} spans for {backend_name(exporter)}"
    for exporter, counts in now.items():
        if counts.sent <= before[exporter].sent:
            return f"the Collector has the spans and sends none to {backend_name(exporter)}"
    return None


def _total(metrics: str, name: str, exporter: str) -> float:
    label = f'exporter="{exporter}"'
    return sum(
        float(sample["value"])
        for sample in _SAMPLE.finditer(metrics)
        if sample["name"].removesuffix("_total") == name and label in (sample["labels"] or "")
    )
