"""Run every target for its share of a minute, two at once, and sum up."""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent


def fuzz(target: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    """Run one target to its end."""
    return subprocess.run(  # noqa: S603  # a script of this directory
        [sys.executable, str(target), "--seconds", str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def main() -> None:
    """Print each target's closing line, or all it said where it found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    arguments = parser.parse_args()
    targets = sorted(HERE.glob("fuzz_*.py"))
    failed = 0
    with ThreadPoolExecutor(1) as pool:
        share = max(1, arguments.seconds // len(targets))
        for run in pool.map(lambda target: fuzz(target, share), targets):
            failed += run.returncode != 0
            print(run.stdout.strip() if run.returncode else run.stdout.strip().splitlines()[-1])
    print(f"fuzz: {len(targets)} targets, {failed or 'none'} failed")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
