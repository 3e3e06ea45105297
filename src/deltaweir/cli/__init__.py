"""The command line: answers go to stdout as they arrive, everything else to stderr.

Exit codes: 0 complete, 1 error, 2 wrong usage, 3 cut by a guard or a budget, 130 interrupted.
"""

from __future__ import annotations

import sys

from deltaweir.cli.app import app


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may not know every character
    app()


__all__ = ["main"]
