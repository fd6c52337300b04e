"""Moves files that bbolt cannot open out of the Collector's way before it starts.

The Collector would crash on such a file at each start. It loses the telemetry in the file, so the newest such files are
kept, in the folder `damaged` of the same volume.
"""

import argparse
import re
import sys
import time
from pathlib import Path
from typing import NoReturn

import bbolt

KEPT = "damaged"
_MOST_KEPT = 3

# As the extension file_storage names them: by the kind of a component, its type and its name.
_NAME = re.compile(r"^(receiver|processor|exporter|extension|connector)_")


def main() -> NoReturn:
    """Check the files of a folder.

    Raises:
        SystemExit: Always; the status is 1 if a file cannot be read, written or moved.
    """
    parser = argparse.ArgumentParser(description="Move damaged files of the Collector's file_storage aside.")
    parser.add_argument("directory", type=Path, help="the folder of file_storage")
    parser.add_argument("--keep-bytes", type=int, default=0, help="total size up to which older damaged files are kept")
    parser.add_argument("--message", type=Path, help="file for what happened, which Kubernetes shows with the pod")
    arguments = parser.parse_args()
    status = 0
    try:
        lines = move_damaged(arguments.directory)
        forget_old(arguments.directory / KEPT, arguments.keep_bytes)
    except OSError as error:
        lines, status = [f"{error.filename}: {error.strerror}: the Collector needs to read and write it"], 1
    for line in lines:
        print(f"check-storage: {line}", flush=True)
    if arguments.message and lines:
        arguments.message.write_text("\n".join(lines))
    sys.exit(status)


def move_damaged(directory: Path) -> list[str]:
    """Move each damaged file aside, and return a line about each.

    Raises:
        OSError: A file cannot be read or moved.
    """
    lines = []
    for path in sorted(directory.iterdir()) if directory.exists() else ():
        if not _NAME.match(path.name) or not path.is_file():
            continue
        try:
            path.open("r+b").close()  # the Collector writes, too
            bbolt.check(path)
        except bbolt.DamagedError as damage:
            lines.append(f"{path.name} is damaged: {damage}. {_move(path)}")
    return lines


def forget_old(kept: Path, keep_bytes: int) -> None:
    """Delete the oldest damaged files but the newest, beyond a number and a total size.

    Raises:
        OSError: A file cannot be deleted.
    """
    newest_first = sorted(kept.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True) if kept.exists() else []
    total = 0
    for position, path in enumerate(newest_first):
        total += path.stat().st_size
        if position and (position >= _MOST_KEPT or total > keep_bytes):
            path.unlink()


def _move(path: Path) -> str:
    size = path.stat().st_size
    kept = path.parent / KEPT
    kept.mkdir(exist_ok=True)
    moved = kept / f"{path.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    path.rename(moved)
    moved.touch()  # its age is the time since the move
    return f"The Collector starts without its telemetry. The file of {size} bytes is kept as {KEPT}/{moved.name}"


if __name__ == "__main__":
    main()
