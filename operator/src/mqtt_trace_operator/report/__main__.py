"""`mqtt-trace-fleet`, and `python -m mqtt_trace_operator.report`."""

import sys

from mqtt_trace_operator.report.command import run


def main() -> None:
    """Run the command, and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
