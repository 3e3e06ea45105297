"""Run every target in turn, each for its share of a minute, and sum up."""

from __future__ import annotations

import argparse
import subprocess
import sys
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
    for target in targets:
        run = fuzz(target, max(1, arguments.seconds // len(targets)))
        failed += run.returncode != 0
        said = run.stdout.strip()
        print(said if run.returncode else said.splitlines()[-1], flush=True)
    print(f"fuzz: {len(targets)} targets, {failed or 'none'} failed")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
