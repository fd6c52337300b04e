"""The documentation's commands for a cluster work as their pages say."""

import shlex

import pytest

from e2e import reader
from e2e.fleets import SensorFleet
from e2e.reader import PLACE, run
from e2e.release import Release, until
from local.documents import blocks


@pytest.fixture(scope="module")
def shell_env(release: Release, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a reader whose kubectl and helm speak to the release's namespace."""
    return reader.environment(release.kubectl, tmp_path_factory.mktemp("reader"))


def troubleshooting(word: str) -> str:
    """Return the command of the troubleshooting page that contains a word."""
    page = blocks("troubleshooting.md", "sh", PLACE)
    (found,) = [line for block in page for line in lines_of(block.code) if word in line]
    return found


def lines_of(code: str) -> list[str]:
    """Return a block's commands, those over several lines as one."""
    return code.replace("\\\n", "").splitlines()


def test_the_collector_prints_spans(shell_env: dict[str, str]) -> None:
    """The Collector's log shows the spans that it receives."""
    command = troubleshooting("-c otel-collector --tail=20").replace("--tail=20", "")
    until(lambda: "process sensors/" in run(command, shell_env), "the Collector prints a process span", 60)


def test_errors_of_the_collector_are_found(shell_env: dict[str, str]) -> None:
    """The command searches the Collector's own log, which has no spans in it."""
    command, _, _ = troubleshooting("grep -iE").partition("|")
    log = run(command, shell_env)
    assert "Everything is ready" in log
    assert "process sensors/" not in log


def test_damaged_files_are_looked_for(shell_env: dict[str, str]) -> None:
    """The commands show how the check ended, and the files that it moved, of which there are none."""
    assert "Completed" in run(troubleshooting("describe pod"), shell_env)
    assert run(troubleshooting("/damaged/"), shell_env) == ""


def test_the_four_keys_are_listed(shell_env: dict[str, str]) -> None:
    """The Secret's description has the four keys, and no value."""
    listed = run(troubleshooting("describe secret"), shell_env)
    assert all(f"{key}:" in listed for key in ("client-id", "client-secret", "token-url", "endpoint"))
    assert "http://" not in listed


def test_the_counters_are_read(shell_env: dict[str, str]) -> None:
    """The Collector's own metrics say how many spans it sent."""
    assert "otelcol_exporter_sent_spans" in run(troubleshooting("get --raw"), shell_env)


def test_the_consumer_is_asked(shell_env: dict[str, str]) -> None:
    """The commands show the consumer's last lines and the namespace's warnings."""
    assert "consumer" in run(troubleshooting("consumer-0 --tail=5"), shell_env)
    run(troubleshooting("type=Warning"), shell_env)


def test_a_fleet_lives_as_the_page_says(release: Release, shell_env: dict[str, str]) -> None:
    """The commands of the page apply, show, scale, change, break and delete a fleet."""
    apply, change, spoil, delete = (block.code for block in blocks("how-to/fleets.md", "sh", PLACE))
    fleet = SensorFleet(release.kubectl, "demo")
    try:
        assert "50 sensors connected" in run(apply, shell_env)
        run(change, shell_env)
        fleet.wait_ready(250)
        run(spoil, shell_env)
        fleet.wait_ready(250)
        run(delete, shell_env)
    finally:
        fleet.delete()


def test_a_scenario_runs_as_its_page_says(release: Release, shell_env: dict[str, str]) -> None:
    """The commands of the page run a scenario to its end, pause and resume the fleet, and delete it."""
    apply, pause, delete = (block.code for block in blocks("how-to/scenarios.md", "sh", PLACE))
    fleet = SensorFleet(release.kubectl, "rush")
    try:
        run(apply, shell_env)
        fleet.wait_ready(0)
        run(pause, shell_env)
        run(delete, shell_env)
    finally:
        fleet.delete()


def test_other_backends_are_accepted(shell_env: dict[str, str]) -> None:
    """The cluster accepts the page's commands in a dry run."""
    tried = 0
    for block in blocks("how-to/backends.md", "sh", PLACE):
        for line in lines_of(block.code):
            words = shlex.split(line)
            if words[:2] in (["kubectl", "create"], ["helm", "upgrade"]):
                run(shlex.join([*words, "--dry-run=server"]), shell_env)
                tried += 1
    assert tried >= 3
