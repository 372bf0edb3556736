"""`calisr` and `python -m calisr_tui`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    from calisr_tui.cli.app import flush_output, run_command_line

    status = flush_output(run_command_line(sys.argv[1:]))
    # A training thread may still be inside a library call; it must not hold the process back.
    os._exit(status)


if __name__ == "__main__":
    main()
