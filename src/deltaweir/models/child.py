"""Run a program that downloads files, watch them grow, and never leave it behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from deltaweir.models.sources import SourceFailed

_POLL_S = 0.1
_LOG_BYTES = 65_536


class Ending(msgspec.Struct, frozen=True):
    """Say how the program ended.

    Attributes:
        code: Its exit code; 0 is success.
        log: The end of what it printed. It may hold addresses: never show it, only look for
            known words in it.
    """

    code: int
    log: str


def watch(
    command: list[str],
    *,
    environ: Mapping[str, str],
    log: Path,
    size: Callable[[], int],
    advance: Callable[[int], None],
    start_s: float,
    stall_s: float,
) -> Ending:
    """Run a program until it ends, and kill it when it stalls or the caller is interrupted.

    The program gets an empty standard input that closes when this process dies.

    Args:
        command: The program and its arguments; no shell is involved.
        environ: Variables to set on top of this process's own.
        log: File for what the program prints.
        size: Returns how many bytes have arrived.
        advance: Told what ``size`` returned, about ten times a second.
        start_s: Seconds of patience until it prints something or bytes arrive.
        stall_s: Seconds of patience after that, counted from the last sign of life.

    Raises:
        SourceFailed: It could not be started, or gave no sign of life for too long.
        OSError: The log cannot be written.
    """
    surroundings = {**os.environ, **environ}
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(  # noqa: S603  a fixed program, arguments of ours
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=surroundings,
            )
        except OSError as error:
            reason = "no Python to run the download with"
            raise SourceFailed(reason) from error
        with process:
            try:
                code = _follow(
                    process,
                    signs=lambda: (log.stat().st_size, size()),
                    advance=advance,
                    limits_s=(start_s, stall_s),
                )
            finally:
                process.kill()  # does nothing to a process that has ended
    with log.open("rb") as printed:
        printed.seek(max(0, log.stat().st_size - _LOG_BYTES))
        return Ending(code=code, log=printed.read().decode("utf-8", "replace"))


def _follow(
    process: subprocess.Popen[bytes],
    *,
    signs: Callable[[], tuple[int, int]],
    advance: Callable[[int], None],
    limits_s: tuple[float, float],
) -> int:
    last, patience_s = signs(), limits_s[0]
    since = time.monotonic()
    while True:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            now = signs()
        if now != last:
            last, patience_s, since = now, limits_s[1], time.monotonic()
            advance(now[1])
        elif time.monotonic() - since > patience_s:
            reason = f"no data for {patience_s:.0f} s"
            raise SourceFailed(reason)


def is_disk_full(log: str) -> bool:
    """Say whether a Python program's output tells that the disk is full."""
    return any(sign in log for sign in ("[Errno 28]", "[Errno 122]", "[WinError 112]"))
