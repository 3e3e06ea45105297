"""The command line: answers go to stdout as they arrive, everything else to stderr.

Exit codes: 0 complete, 1 error, 2 wrong usage, 3 cut by a guard or a budget, 130 interrupted.
"""

from __future__ import annotations

import sys

from deltaweir.cli.app import app
from deltaweir.cli.show import fail, forget_stdout
from deltaweir.errors import DeltaweirError

INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended."""


def main() -> None:
    """Run a command and exit with its code; errors become a line or two on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may not know every character
    try:
        app()
    except DeltaweirError as error:
        sys.exit(fail(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the answer has enough of it
        forget_stdout()
        sys.exit(0)


__all__ = ["INTERRUPTED", "main"]
