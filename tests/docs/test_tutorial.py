"""The tutorial, block by block as a reader runs it, with the test's own ports."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from local.documents import ROOT, Block, blocks
from local.needed import needs
from local.ports import free_port
from local.processes import Process, accepts_tcp, answers_http
from local.scout import Scout, Span

PAGE = "tutorial.md"
READY_S = 60


class Reader:
    """A reader who works through the page in several terminals.

    Args:
        folder: The folder for the page's programs.
    """

    def __init__(self, folder: Path) -> None:
        self.broker_port, self.backend_port = free_port(), free_port()
        self._folder = folder
        self._terminals: dict[str, Process] = {}
        for block in blocks(PAGE, "python"):
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(self._with_own_ports(block.code))
        path = os.pathsep.join([sysconfig.get_path("scripts"), "/usr/sbin", os.environ["PATH"]])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        quick = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRICS_EXPORTER": "none", "PYTHONPATH": str(ROOT)}
        self._env = {**inherited, **quick, "PATH": path, "SCOUT_SIM_PORT": str(self.backend_port)}

    def run(self, block: Block) -> Process:
        """Run a block in its terminal, after ending the program that still runs there."""
        if (before := self._terminals.pop(block.title, None)) is not None:
            before.stop()
        log = self._folder / f"{block.title}.log"
        command = ["bash", "-c", f"cd {self._folder}\n{self._with_own_ports(block.code)}"]
        terminal = self._terminals[block.title] = Process(block.title, command, log=log, env=self._env)
        terminal.start()
        return terminal

    def answer(self, block: Block) -> str:
        """Run a block whose command ends, and return its output."""
        code = self._with_own_ports(block.code)
        done = subprocess.run(["bash", "-c", code], env=self._env, capture_output=True, text=True, check=True)
        return done.stdout

    def close(self) -> None:
        """End all programs, the newest first."""
        for terminal in reversed(self._terminals.values()):
            terminal.stop()

    def _with_own_ports(self, code: str) -> str:
        return code.replace("1883", str(self.broker_port)).replace("4320", str(self.backend_port))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader who begins with an empty folder."""
    with closing(Reader(tmp_path)) as at_work:
        yield at_work


@needs("curl")
def test_each_reading_becomes_one_trace(reader: Reader) -> None:
    """Block by block: untouched programs are traced, the explicit ones once each, and a foreign message is found."""
    broker, backend, display, thermometer, query, own_display, own_thermometer, stranger, search = blocks(PAGE, "sh")
    reader.run(broker).wait_until(accepts_tcp("127.0.0.1", reader.broker_port), timeout_s=READY_S)
    url = f"http://127.0.0.1:{reader.backend_port}"
    reader.run(backend).wait_until(answers_http(f"{url}/health"), timeout_s=READY_S)
    with closing(Scout(url)) as scout:
        showing, publishing = reader.run(display), reader.run(thermometer)
        publish, process = wait_for_trace(scout, [showing, publishing], "messaging.system=mqtt")
        assert "messaging.message.id" not in {**publish.attributes, **process.attributes}
        assert json.loads(reader.answer(query))["traces"]
        assert "sensors/thermometer/reading" in showing.output()

        showing, publishing = reader.run(own_display), reader.run(own_thermometer)
        publish, process = wait_for_trace(
            scout, [showing, publishing], "messaging.destination.template=sensors/{device_id}/reading"
        )
        assert publish.attributes["messaging.message.id"] == process.attributes["messaging.message.id"]
        assert publish.attributes["messaging.destination.template"] == "sensors/{device_id}/reading"

        reader.answer(stranger)
        showing.wait_until(lambda: bool(json.loads(reader.answer(search))["traces"]), timeout_s=READY_S)


def wait_for_trace(scout: Scout, running: list[Process], attribute: str) -> tuple[Span, Span]:
    """Return the publish and the process span of the first trace that has both, exactly one of each."""
    found: list[Span] = []

    def complete() -> bool:
        for trace_id in scout.trace_ids(attribute=attribute, service="display"):
            spans = sorted(scout.spans(trace_id), key=lambda span: span.start_ns)
            if [span.service for span in spans] == ["thermometer", "display"]:
                found[:] = spans
                return True
        return False

    for program in running:
        program.wait_until(complete, timeout_s=READY_S)
    publish, process = found
    assert process.parent_span_id == publish.span_id
    assert (publish.kind, process.kind) == ("PRODUCER", "CONSUMER")
    return publish, process
