"""xllamacpp as one would call it without Deltaweir: what the engine can do alone."""

from __future__ import annotations

import json
import os
from typing import Any

from deltaweir.models.weights import Weights
from deltaweir.sources.local.answer import context_of
from deltaweir.sources.local.engine import SLOTS
from deltaweir.sources.local.native import BATCH, CACHE_MIB


class Direct:
    """A server of its own on the same weights, with the threads, batch and slots of ours.

    Args:
        weights: The model.
    """

    def __init__(self, weights: Weights) -> None:
        import xllamacpp  # after Deltaweir's engine, whose environment it shares

        params = xllamacpp.CommonParams()
        params.model.path = os.fspath(weights.path)
        params.n_parallel = SLOTS
        params.n_ctx = SLOTS * context_of(weights)
        params.kv_unified = False
        params.n_batch = params.n_ubatch = BATCH
        off = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.flash_attn_type = off  # as ours; see deltaweir.sources.local.native
        threads = max(1, (os.cpu_count() or 2) // 2)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = CACHE_MIB
        params.verbosity = 0
        params.port = 0
        params.ui = False
        self._server = xllamacpp.Server(params)

    def chat(self, prompt: str, max_tokens: int) -> int:
        """Answer a prompt with a callback that appends, and return how many tokens came."""
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        events: list[bytes] = []
        self._server.handle_chat_completions(json.dumps(body).encode(), events.append)
        usages = (event["usage"] for event in map(json.loads, events) if event and "usage" in event)
        return int(next(usages)["completion_tokens"])
