"""`calisr` and `python -m calisr_tui`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from calisr_tui.cli.app import run_command_line

    status = run_command_line(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A training thread may still be inside a library call; it must not hold the process back.
    os._exit(status)


if __name__ == "__main__":
    main()
