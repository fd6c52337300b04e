"""The command: settings, exit codes, and restarts."""

import asyncio
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from scout_harness import COMMAND, ScoutSim, environment, logs, metrics, span, trace_id
from scout_sim.command import main
from scout_sim.listening import listen
from scout_sim.settings import variables

from service.tests.accepting import no_delay_of_accepted

LARGEST = 2**63 - 1
TOO_LARGE = str(LARGEST + 1)


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=30, check=False
    )


def test_help_names_every_variable() -> None:
    """--help lists each variable with its default and description."""
    answer = run("--help")
    assert answer.returncode == 0
    for name, default, meaning in variables():
        assert f"{name}={default}\n      {meaning}" in answer.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "0"),
        ("port", "65536"),
        ("tenant", "a/b"),
        ("tenant", ""),
        ("client_id", ""),
        ("client_secret", ""),
        ("token_lifetime_s", "0"),
        ("require_token", "perhaps"),
        ("max_spans", "0"),
        ("max_metric_points", "-1"),
        ("max_logs", "many"),
        ("token_lifetime_s", TOO_LARGE),
        ("max_spans", TOO_LARGE),
        ("max_metric_points", TOO_LARGE),
        ("max_logs", TOO_LARGE),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_2(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong value stops the command with one line that names its variable."""
    monkeypatch.setattr("sys.argv", [COMMAND])
    monkeypatch.setenv(f"SCOUT_SIM_{name.upper()}", value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    [line] = output.err.splitlines()
    assert line.startswith(f"scout-sim: SCOUT_SIM_{name.upper()}: ")
    assert not line.endswith(": ")


def test_the_largest_numbers_can_be_used(make_scout: Callable[..., ScoutSim]) -> None:
    """With the largest limits it accepts every signal."""
    running = make_scout(require_token=False, max_spans=LARGEST, max_metric_points=LARGEST, max_logs=LARGEST)
    running.send_spans(span(trace_id()))
    assert running.send(logs({"timeUnixNano": "1"}), "logs") == {}
    point = {"timeUnixNano": "1", "asInt": "1"}
    assert running.send(metrics({"name": "kept", "gauge": {"dataPoints": [point]}}), "metrics") == {}


def test_no_wrong_value_is_repeated() -> None:
    """Each wrong value has a line, without the value, which may be a secret."""
    answer = run(port="s3cr3t", tenant="s3cr3t/")
    assert answer.returncode == 2
    assert [line.split(":")[1].strip() for line in answer.stderr.splitlines()] == ["SCOUT_SIM_PORT", "SCOUT_SIM_TENANT"]
    assert "s3cr3t" not in answer.stderr


def test_a_database_that_cannot_be_opened_is_a_wrong_setting(tmp_path: Path) -> None:
    """A missing folder, another kind of file and another version of the schema are each refused in one line."""
    other_kind = tmp_path / "text"
    other_kind.write_text("this is no database, " * 100)
    other_version = tmp_path / "other.db"
    connection = sqlite3.connect(other_version)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path in (tmp_path / "missing" / "scout.db", other_kind, other_version):
        answer = run(database=path)
        assert answer.returncode == 2
        [line] = answer.stderr.splitlines()
        assert line.startswith(f"scout-sim: SCOUT_SIM_DATABASE: {path}: ")


@pytest.mark.parametrize(
    ("host", "blamed"), [("127.0.0.1", "PORT"), ("192.0.2.1", "HOST"), ("nonsense.invalid", "HOST")]
)
def test_an_address_that_cannot_be_used_is_a_wrong_setting(scout: ScoutSim, host: str, blamed: str) -> None:
    """A port in use and a host of another machine are each refused in one line that names the variable."""
    port = scout.url.rpartition(":")[2]
    answer = run(host=host, port=port)
    assert answer.returncode == 2
    [line] = answer.stderr.splitlines()
    begin = f"scout-sim: SCOUT_SIM_{blamed}: cannot listen on {host}:{port}: "
    assert line.startswith(begin)
    assert re.fullmatch("[A-Za-z ]+", line.removeprefix(begin))


def test_connections_answer_without_delay() -> None:
    """Nagle's algorithm is off on what asyncio accepts: with it, an answer in two writes may wait 40 ms."""
    assert asyncio.run(no_delay_of_accepted(listen("127.0.0.1", 0))) == 1


def test_sigterm_ends_it_with_exit_0(make_scout: Callable[..., ScoutSim]) -> None:
    """SIGTERM ends it with 0 despite an open connection, and nothing is logged."""
    running = make_scout()
    assert running.client.get("/health").json() == {"status": "ready"}
    assert running.process.stop() == 0
    assert running.process.output().splitlines() == [f"scout-sim: serving tenant demo on {running.url[7:]}"]


def test_sigterm_does_not_wait_for_a_body(make_scout: Callable[..., ScoutSim]) -> None:
    """A request without its body is cancelled after SIGTERM, with one line and no traceback; exit code 0."""
    running = make_scout(require_token=False)
    with running.send_half("/v1/logs", b"{"):
        assert running.client.get("/health").status_code == 200
        assert running.process.stop() == 0
    _, *logged = running.process.output().splitlines()
    assert logged == ["ERROR:    Cancel 1 running task(s), timeout graceful shutdown exceeded"]


def test_a_file_of_the_former_release_is_used(make_scout: Callable[..., ScoutSim], tmp_path: Path) -> None:
    """A database of release 0.2.0, with its other table of metrics, keeps its traces and accepts metrics."""
    database = tmp_path / "scout.db"
    before = make_scout(require_token=False, database=database)
    kept = trace_id()
    before.send_spans(span(kept))
    assert before.process.stop() == 0
    with closing(sqlite3.connect(database)) as former:
        former.executescript("DROP TABLE metrics; CREATE TABLE metric_points (series TEXT PRIMARY KEY);")
    after = make_scout(require_token=False, database=database)
    point = {"timeUnixNano": "1", "asInt": "1"}
    assert after.send(metrics({"name": "kept", "gauge": {"dataPoints": [point]}}), "metrics") == {}
    assert after.trace_ids() == [kept]


def test_a_file_keeps_what_was_received(make_scout: Callable[..., ScoutSim], tmp_path: Path) -> None:
    """With a database file, traces and issued tokens survive a restart."""
    settings = {"database": tmp_path / "scout.db"}
    before = make_scout(**settings)
    authorization = {"Authorization": f"Bearer {before.token()}"}
    before.client.headers.update(authorization)
    kept = trace_id()
    before.send_spans(span(kept))
    assert before.process.stop() == 0
    after = make_scout(**settings)
    assert after.trace_ids() == [kept]
    after.client.headers.update(authorization)
    after.send_spans(span(kept))
    assert after.summary(kept)["span_count"] == 2
