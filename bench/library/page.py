"""docs/library-performance.md: the text and the tables of one run."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence

from bench.library.comparisons import Results, overhead_us
from bench.library.modes import BASELINE, EXPLICIT, INSTRUMENTED, NOTHING, UNTRACED
from bench.page import table


def page(sections: Iterable[str]) -> str:
    """The whole page."""
    return "\n".join(sections)


def head(messages: int, rounds: int) -> str:
    """The introduction: the modes, and how they were measured."""
    return (
        "# Performance of the library\n\n"
        "`make bench-library` runs a paho-mqtt program that publishes and one that receives, alternately in four "
        "modes, with the same Mosquitto:\n\n"
        "- *untraced*: without tracing;\n"
        "- *baseline*: with the guide's code: a span with four attributes, a map from packet id to span, paho's "
        "`Properties`;\n"
        "- *explicit*: with `TracedPublisher`, and with `TracedConsumer` and `install_tolerant_reader`;\n"
        "- *instrumented*: unchanged, under `PahoMqttInstrumentor`.\n\n"
        "Processor time is that of the program's process, including its network thread, from the first message to "
        "the last export. The overhead is the processor time per message that a mode adds to *untraced*; for a "
        "received message it includes reading the context from the packet. Without export, spans are still made and "
        "ended. Figures differ from machine to machine; on a machine that other programs use, ratios differ from run "
        "to run, too.\n\n"
        f"This run: {messages:,} messages per round, the median of {rounds} rounds; {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, broker, programs and OTLP receiver on the same cores.\n"
    )


def publishing(results: Results, span_us: float) -> str:
    """The section about publishing."""
    content = (
        "Instrumented spans have eleven attributes, explicit ones thirteen, those of the baseline four. The "
        f"OpenTelemetry SDK alone takes {span_us:,.0f} µs of the overhead to start and end one with eleven."
    )
    return _section("Publishing, QoS 1, until PUBACK", "publishing", results, content)


def receiving(results: Results) -> str:
    """The section about receiving."""
    content = "Instrumented spans have thirteen attributes, explicit ones fourteen, those of the baseline four."
    return _section("Receiving, QoS 1", "receiving", results, content)


def pending(byte_counts: Mapping[str, float]) -> str:
    """The section about unacknowledged publishes."""
    rows = [[mode, f"{count:,.0f} B", f"{count - byte_counts[UNTRACED]:,.0f} B"] for mode, count in byte_counts.items()]
    return (
        "## Memory of an unacknowledged publish\n\nIncludes the message, which paho keeps. A client has at most "
        f"10,000 pending spans.\n\n{table(['', 'allocated', 'more than untraced'], rows)}"
    )


def growth(allocated: Mapping[str, Sequence[float]], messages: int) -> str:
    """The section about memory over time."""
    header = ["", *(f"{messages * (step + 1) // 4:,} messages" for step in range(4))]
    rows = [[mode, *(f"{count / 1024:,.0f} KiB" for count in counts)] for mode, counts in allocated.items()]
    text = "Allocated by Python after a number of published, acknowledged and received messages."
    return f"## Memory over time\n\n{text}\n\n{table(header, rows)}"


def _section(title: str, doing: str, results: Results, content: str) -> str:
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
        f"## {title}\n\n{rates}\nWithout export, {doing} has {_ratio(results, EXPLICIT)} times the overhead of the "
        f"baseline when explicit, and {_ratio(results, INSTRUMENTED)} times when instrumented. {content}\n"
    )


def _ratio(results: Results, mode: str) -> str:
    return f"{overhead_us(results, mode, NOTHING) / overhead_us(results, BASELINE, NOTHING):.2f}"
