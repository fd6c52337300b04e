"""A damaged file of the Collector's storage is moved aside, an intact one is left alone."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir

import bbolt
import check_storage
import pytest

from charts.generate import CHART
from local.needed import skip_without
from local.processes import ProcessError
from tests.chart.collectors import TRACES, Collector, running

CONFIG = CHART / "files" / "collector.yaml"
PAGE = 4096
chance = random.Random(1)  # noqa: S311 - the same damage in each run


def zeroed(content: bytes, first: int, last: int) -> bytes:
    """The content with zeros from one page to another."""
    return content[: first * PAGE] + bytes((last - first) * PAGE) + content[last * PAGE :]


def with_changed_metas(content: bytes) -> bytes:
    """The content with a byte of each meta page changed that nothing but the checksum depends on."""
    changed = bytearray(content)
    for page in range(2):
        changed[page * PAGE + 28] ^= 1
    return bytes(changed)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 8],
    "zeroed": lambda content: zeroed(content, 4, 40),
    "other content": lambda content: chance.randbytes(len(content)),
    "half a meta page": lambda content: content[:2048],
    "no meta pages": lambda content: zeroed(content, 0, 2),
    "changed meta pages": with_changed_metas,
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of a Collector that was killed with a queue of several levels of pages."""
    skip_without("otelcol-contrib")
    with running(tmp_path_factory.mktemp("killed"), CONFIG) as collector:
        for size in [100] * 400 + [20_000] * 20:
            assert collector.send(size=size) == 200
    return collector.storage


@pytest.fixture(scope="module")
def content(killed: Path) -> bytes:
    """The file of its queue of spans."""
    return (killed / TRACES).read_bytes()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """An empty storage."""
    folder = tmp_path / "storage"
    folder.mkdir()
    return folder


def checks(path: Path, content: bytes) -> bool:
    """Return whether a file with this content is intact."""
    path.write_bytes(content)
    try:
        bbolt.check(path)
    except bbolt.DamagedError:
        return False
    return True


def run_step(monkeypatch: pytest.MonkeyPatch, storage: Path, *options: str) -> object:
    """Run the program as the pod does, and return its status."""
    monkeypatch.setattr(sys, "argv", ["check_storage.py", *options, str(storage)])
    with pytest.raises(SystemExit) as ended:
        check_storage.main()
    return ended.value.code


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_collector_cannot_start_with_a_file_that_is_found_damaged(
    damage: str, content: bytes, storage: Path
) -> None:
    """Without the step, the Collector ends with each kind of damage."""
    damaged = DAMAGE[damage](content)
    assert not checks(storage / TRACES, damaged)
    collector = Collector(storage.parent, CONFIG)
    collector.start()
    try:
        with pytest.raises(ProcessError, match="ended with"):
            collector.wait_ready()
    finally:
        collector.kill()


def test_the_collector_starts_after_the_step(
    content: bytes, storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged files are kept aside as they were, their lines are printed and left for Kubernetes, intact ones stay."""
    names = (TRACES, "exporter_otlp_http_b14_logs", "exporter_otlp_http_other_logs")
    damaged = {name: damage(content) for name, damage in zip(names, list(DAMAGE.values())[:3], strict=True)}
    for name, data in damaged.items():
        (storage / name).write_bytes(data)
    intact = storage / "exporter_otlp_http_b14_metrics"
    intact.write_bytes(content)
    (storage / "exporter_otlp_http_empty_logs").touch()
    message = storage.parent / "message"
    assert run_step(monkeypatch, storage, "--keep-bytes=100000000", f"--message={message}") == 0
    kept = {path.name.rpartition(".")[0]: path.read_bytes() for path in (storage / "damaged").iterdir()}
    assert kept == damaged
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == sorted(damaged)
    assert message.read_text().splitlines() == [line.removeprefix("check-storage: ") for line in lines]
    assert intact.read_bytes() == content
    with running(storage.parent, CONFIG) as collector:
        assert collector.send() == 200


def test_files_of_real_collectors_are_intact(killed: Path, tmp_path: Path) -> None:
    """Those of a killed Collector, compacted by the next one, and stopped by it, are left alone."""

    def require_intact() -> None:
        names = [path.name for path in killed.iterdir() if path.is_file()]
        assert TRACES in names
        assert check_storage.move_damaged(killed) == []

    require_intact()
    collector = Collector(tmp_path, CONFIG)
    collector.env["COLLECTOR_STORAGE"] = str(killed)
    collector.start()
    try:
        collector.wait_ready()
        assert "finished compaction" in collector.output()
    finally:
        collector.stop()
    require_intact()


def test_a_file_is_damaged_as_long_as_a_page_in_use_is_cut_off(content: bytes, tmp_path: Path) -> None:
    """From the first length at which a file is intact, every greater one is; the empty file is intact, too."""
    lengths = [0, *sorted(chance.sample(range(1, len(content)), 60)), len(content)]
    outcomes = [checks(tmp_path / "file", content[:length]) for length in lengths]
    assert outcomes[0]
    assert outcomes[1:] == sorted(outcomes[1:])
    assert outcomes[-1]
    assert not outcomes[1]


def test_any_damage_is_intact_or_damaged(content: bytes, tmp_path: Path) -> None:
    """Random bytes in a page's header, whatever they mean, end in one of the two answers."""
    outcomes = set()
    for _ in range(150):
        broken = bytearray(content)
        page = chance.choice([chance.randrange(len(content) // PAGE), chance.randrange(40)])
        for _ in range(chance.randrange(1, 20)):
            broken[page * PAGE + chance.randrange(96)] = chance.randrange(256)
        outcomes.add(checks(tmp_path / "file", bytes(broken)))
    assert outcomes == {True, False}


def test_a_file_that_cannot_be_read_is_one_line(
    content: bytes, storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the file and the cause, the step fails, and the file stays."""
    path = storage / TRACES
    path.write_bytes(content)
    path.chmod(0o400)
    for folder in takewhile(lambda folder: folder != Path(gettempdir()), (storage, *storage.parents)):
        folder.chmod(0o755)
    owner = os.geteuid()
    if owner == 0:  # root may read everything
        os.seteuid(65534)
    try:
        assert run_step(monkeypatch, storage) == 1
    finally:
        os.seteuid(owner)
    assert capsys.readouterr().out == (
        f"check-storage: {path}: Permission denied: the Collector needs to read and write it\n"
    )
    assert path.read_bytes() == content


def test_only_the_newest_damaged_files_are_kept(tmp_path: Path) -> None:
    """The newest stays in any case, two more within the size."""
    for age, size in enumerate([1000, 10, 10, 10, 10]):
        (tmp_path / str(age)).write_bytes(bytes(size))
        os.utime(tmp_path / str(age), (1000 - age, 1000 - age))
    check_storage.forget_old(tmp_path, 1020)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2"}
    check_storage.forget_old(tmp_path, 1010)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}
    check_storage.forget_old(tmp_path, 0)
    assert {path.name for path in tmp_path.iterdir()} == {"0"}


def test_other_files_are_none_of_its_business(storage: Path) -> None:
    """A file that the Collector did not name, and a temporary one of its compaction, stay."""
    for name in ("notes", "tempdb123"):
        (storage / name).write_text("no database")
    assert check_storage.move_damaged(storage) == []
    assert sorted(path.name for path in storage.iterdir()) == ["notes", "tempdb123"]
