"""docs/library-performance.md: the tables of the last run."""

import os
import platform
from collections.abc import Mapping, Sequence

from bench.library.comparisons import Results, overhead_us
from bench.library.modes import BASELINE, EXPLICIT, INSTRUMENTED, NOTHING, UNTRACED
from bench.page import table


def head(messages: int, rounds: int) -> str:
    """What was measured, and how."""
    return (
        "# Performance of the library\n\n"
        "`make bench-library` runs one paho-mqtt program that publishes, and one that receives, in four ways, against "
        "the same Mosquitto, in turn:\n\n"
        "- *untraced*: as it is;\n"
        "- *naive*: with the guide's code: a span with four attributes, a map from packet id to span, paho's own "
        "`Properties`;\n"
        "- *explicit*: with `TracedPublisher`, and with `TracedConsumer` and `read_properties_tolerantly`;\n"
        "- *instrumented*: untouched, under `PahoMqttInstrumentor`.\n\n"
        "Processor time is that of the program's process, its network thread included, from the first message to the "
        "last export. The overhead is what a message costs more than untraced; for a received one that includes "
        "reading the context out of the packet. Where nothing is exported spans are made and ended all the same. On "
        "another machine the figures differ; on one that is shared with others the ratios move, too.\n\n"
        f"This run: {messages:,} messages, the median of {rounds}; {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, broker, programs and OTLP receiver on the same cores.\n"
    )


def publishing(results: Results, span_us: float) -> str:
    """The section on publishing."""
    richer = (
        "A span has eleven attributes, thirteen when it is explicit, in place of four. Of the overhead the "
        f"OpenTelemetry SDK takes {span_us:,.0f} µs to start and end a span with eleven, whatever is done with it."
    )
    return _section("Publishing, QoS 1, until PUBACK", "publishing", results, richer)


def receiving(results: Results) -> str:
    """The section on receiving."""
    richer = "A span has thirteen attributes, fourteen when it is explicit, in place of four attributes."
    return _section("Receiving, QoS 1", "receiving", results, richer)


def pending(byte_counts: Mapping[str, float]) -> str:
    """The section on publishes that wait."""
    rows = [[mode, f"{count:,.0f} B", f"{count - byte_counts[UNTRACED]:,.0f} B"] for mode, count in byte_counts.items()]
    return (
        "## Memory of a publish that waits for its acknowledgement\n\nWith the message, which paho keeps; no more than "
        f"10,000 spans of a client wait at once.\n\n{table(['', 'held', 'more than untraced'], rows)}"
    )


def growth(held: Mapping[str, Sequence[float]], messages: int) -> str:
    """The section on memory over time."""
    header = ["", *(f"{messages * (step + 1) // 4:,} messages" for step in range(4))]
    rows = [[mode, *(f"{count / 1024:,.0f} KiB" for count in counts)] for mode, counts in held.items()]
    text = "Held by Python's allocator after so many messages were published, acknowledged and received."
    return f"## Memory over time\n\n{text}\n\n{table(header, rows)}"


def _section(title: str, doing: str, results: Results, richer: str) -> str:
    rows = [
        [
            mode,
            "" if mode == UNTRACED else exported,
            f"{one.per_second:,.0f}",
            f"{one.cpu_us:,.0f} µs",
            "" if mode == UNTRACED else f"{overhead_us(results, mode, exported):,.0f} µs",
            f"{one.dropped:,}",
        ]
        for (mode, exported), one in results.items()
    ]
    rates = table(["", "exported", "messages/s", "processor time each", "overhead", "spans lost"], rows)
    return (
        f"## {title}\n\n{rates}\nWithout export {doing} costs {_ratio(results, EXPLICIT)} times the naive overhead "
        f"when it is explicit, {_ratio(results, INSTRUMENTED)} times when it is instrumented. {richer}\n"
    )


def _ratio(results: Results, mode: str) -> str:
    return f"{overhead_us(results, mode, NOTHING) / overhead_us(results, BASELINE, NOTHING):.2f}"
