"""The ledger in a file, so that it outlives a restart of the container."""

import json
from collections import Counter, OrderedDict
from itertools import islice
from typing import Any

from mqtt_trace_service.histogram import Histogram

from mqtt_trace_producer.results.clocks import Clocks
from mqtt_trace_producer.results.intervals import Intervals
from mqtt_trace_producer.results.ledger import Ledger, Numbers, Phase, Sent
from mqtt_trace_producer.results.sequence import Sequence

_COUNTS = ("published", "processed", "dead_lettered", "waiting", "duplicates", "unnumbered", "dropped")
_MOST_OUTSTANDING = 100


class Writer:
    """Writes ledgers as JSON; a phase that has not changed is not serialized again."""

    def __init__(self) -> None:
        self._phases: dict[int, str] = {}

    def write(self, ledger: Ledger, changed: set[int], **more: object) -> str:
        """Return the text.

        Args:
            ledger: The ledger, the same for each call.
            changed: Indexes of the phases that have changed since the last call.
            more: Further members.
        """
        for index in changed:
            self._phases[index] = json.dumps(_phase_to_json(ledger.phases[index]))
        head = {
            **more,
            "epochs": ledger.epochs,
            "clocks": ledger.clocks.samples(),
            "receipts": list(ledger.receipts),
        }
        phases = ", ".join(f'"{index}": {text}' for index, text in self._phases.items())
        return f'{json.dumps(head)[:-1]}, "phases": {{{phases}}}}}'


def read_ledger(document: dict[str, Any]) -> Ledger:
    """Read the ledger of what `Writer.write` returned.

    Raises:
        KeyError, TypeError, ValueError: It is something else.
    """
    ledger = Ledger(*document["epochs"])
    ledger.clocks = Clocks(document["clocks"])
    ledger.receipts = OrderedDict.fromkeys(document["receipts"])
    ledger.phases = {int(index): _phase_from_json(phase) for index, phase in document["phases"].items()}
    return ledger


def _phase_to_json(phase: Phase) -> dict[str, Any]:
    return {
        **{name: getattr(phase, name) for name in _COUNTS},
        "refused": phase.refused,
        "missing_context": phase.missing_context,
        "age": phase.age.to_json(),
        "puback": phase.puback.to_json(),
        "slowest": phase.slowest,
        "sensors": [
            [*key, numbers.acknowledged.bounds, numbers.confirmed.bounds] for key, numbers in phase.sensors.items()
        ],
        "outstanding": [[*item] for item in islice(phase.outstanding.items(), _MOST_OUTSTANDING)],
    }


def _phase_from_json(document: dict[str, Any]) -> Phase:
    return Phase(
        **{name: int(document[name]) for name in _COUNTS},
        refused=Counter(document["refused"]),
        missing_context=Counter(document["missing_context"]),
        age=Histogram.from_json(document["age"]),
        puback=Histogram.from_json(document["puback"]),
        slowest=[(age, trace_id) for age, trace_id in document["slowest"]],
        sensors={
            (epoch, sensor): Numbers(Intervals(acknowledged), Intervals(confirmed))
            for epoch, sensor, acknowledged, confirmed in document["sensors"]
        },
        outstanding={Sequence(*sequence): Sent(*sent) for sequence, sent in document["outstanding"]},
    )
