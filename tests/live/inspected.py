"""The command `deltaweir`, but it tells on SIGUSR1 which tasks and objects it holds."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections import Counter

from deltaweir.cli import main

WATCHED = ("Run", "Lane", "Outflow", "Job", "StreamRow", "UpstreamSource", "Protocol")


def tell(*_: object) -> None:
    """Say on stderr what there is."""
    gc.collect()
    kinds = Counter(type(one).__name__ for one in gc.get_objects())
    held = {name: kinds[name] for name in WATCHED}
    held |= {"tasks": len(asyncio.all_tasks()), "objects": kinds.total()}
    print("holds", json.dumps(held), file=sys.stderr)  # noqa: T201  # for whoever started it


signal.signal(signal.SIGUSR1, tell)
main()
