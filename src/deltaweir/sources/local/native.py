"""Load llama.cpp with a model, quiet and locked: the only module that imports xllamacpp.

What the settings are for, each measured on two cores:

- Few tokens of a prompt at a time, since a cancel and a second prompt wait for that long.
- No flash attention: on processors it is a tenth faster below a hundred tokens of context,
  but a third slower at 500, and at 3,000 a token takes twice as long.
- No trial run to fit the memory and none to warm up: half of the time that loading takes,
  in which no other Python code runs, since the binding holds the interpreter's lock.
- Threads wait passively, and never take all cores: ggml spins at its barriers.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deltaweir.errors import EngineMissing, ModelCorrupt

BATCH = 16
"""Tokens of a prompt read in one go: what a cancel or a second prompt waits for at most.

Below a third of a second for the default model on one core up to some 5,000 tokens; reading
prompts is a tenth slower than with 64."""
CACHE_MIB = 256
"""Memory for prompts read before, so that a conversation's past is not read again."""

_READ_BYTES = 1 << 20

_forked = False


def load_server(path: Path, *, context: int, slots: int, threads: int | None) -> Any:
    """Return the engine's server with a model in memory, ready to answer.

    Args:
        path: The weights, a GGUF file that has been checked.
        context: Tokens that each answer may use, prompt and reply together.
        slots: Answers generated at once.
        threads: Threads that compute; half the cores unless told.

    Raises:
        EngineMissing: xllamacpp is not installed, or does not run on this machine.
        ModelCorrupt: The engine cannot load the weights.
    """
    xllamacpp = _imported()
    wanted = xllamacpp.CommonParams()
    wanted.model.path = os.fspath(path)
    wanted.n_parallel = slots
    wanted.n_ctx = slots * context
    wanted.kv_unified = False
    wanted.n_batch = wanted.n_ubatch = BATCH
    wanted.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    count = threads or max(1, _cores() // 2)
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = count
    wanted.cache_ram_mib = CACHE_MIB
    wanted.warmup = wanted.fit_params = False
    wanted.prefill_assistant = False  # a reply is a message of its own, as OpenAI has it
    wanted.verbosity = 0
    # The engine opens a port of its own that nobody here needs: locked with a key that
    # nobody knows, closed to browsers, with neither page nor statistics.
    wanted.port = 0
    wanted.api_keys = [secrets.token_hex(32)]
    wanted.cors_origins = "http://127.0.0.1"
    wanted.ui = False
    wanted.endpoint_slots = False
    try:
        _read_ahead(path)
        server = xllamacpp.Server(wanted)
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        raise ModelCorrupt(
            f"the engine cannot load {path.name}: not weights it knows, damaged, or too large "
            "for this machine's memory"
        ) from error
    _wait_until_it_runs(server)
    if _forked:  # its end would join a thread that only the parent has
        _keep_for_ever(server)
    return server


def survive_fork(servers: Iterable[Any]) -> None:
    """Let a forked child, which has none of the engine's threads, end as it wants to.

    Destroying what it inherited would join those threads: servers, which get one reference too
    many, and the engine's own globals, which the C library destroys at the very end.

    Args:
        servers: The servers that the process has inherited.
    """
    global _forked  # noqa: PLW0603  # of the process
    _forked = True
    for server in servers:
        _keep_for_ever(server)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc: handlers of the child run before inherited ones
        libc.on_exit(libc["_exit"], None)  # with the exit status as its argument


def _keep_for_ever(server: Any) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _imported() -> Any:
    asked = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the engine is imported
    try:
        import xllamacpp  # heavy: only a process that answers by itself pays for it
    except ImportError as error:
        raise EngineMissing(
            "the engine of the embedded model is not installed, or does not run here: "
            "pip install 'deltaweir[local]' (Linux x86_64, macOS arm64, Windows)"
        ) from error
    finally:
        if asked is None:  # programs that this one starts are none of our business
            os.environ.pop("OMP_WAIT_POLICY", None)
    return xllamacpp


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2


def _read_ahead(path: Path) -> None:
    """Bring the file into memory while other Python code can run, which loading stops."""
    buffer = bytearray(_READ_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _wait_until_it_runs(server: Any) -> None:
    """Ask for nothing, and wait for the answer.

    The engine's loop starts after its constructor returns. A server that is destroyed before
    that waits for ever, with the interpreter's lock held.
    """
    server.handle_completions(b'{"prompt":"","max_tokens":0,"stream":true}', lambda _: False)
