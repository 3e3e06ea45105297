"""The command line: answers go to stdout as they arrive, everything else to stderr.

Exit codes: 0 complete, 1 error, 2 wrong usage, 3 cut by a guard or a budget, 130 interrupted.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        # imported here, so that Ctrl-C is understood from the first moment
        from deltaweir.cli.app import app
        from deltaweir.cli.process import run

        code = run(app)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


__all__ = ["main"]
