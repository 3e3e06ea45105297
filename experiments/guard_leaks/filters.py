"""The filters: each reads a stream's chunks and hands on those that its reader gets.

Each reads a chunk only when what could leave of the one before has left, so that a source can
see what is held back.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import copy
import functools
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from chunks import Chunk, chunk
from rules import Filtered

Filter = Callable[[Iterable[Chunk], Callable[[Chunk], object]], None]

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no network: LiteLLM's own copy of prices
os.environ["LITELLM_LOG"] = "ERROR"


@functools.cache
def litellm(rules: tuple[Filtered, ...], *, action: str = "MASK") -> Filter:
    """Return LiteLLM's content filter as its proxy runs it over a chat stream.

    What runs is the generator of the proxy's answer, after the model and before the socket; it
    finds the guardrail among LiteLLM's callbacks, picks the method and writes the events.

    Args:
        rules: Its patterns and keywords.
        action: MASK, or BLOCK, which ends the stream with an error.
    """
    import litellm as package
    from fastapi import HTTPException
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.proxy.proxy_server import async_data_generator
    from litellm.types.utils import ModelResponseStream

    logging.getLogger("LiteLLM Proxy").setLevel(logging.CRITICAL)  # a block is logged as an error
    guardrail = _litellm_guardrail(rules, action)
    key = UserAPIKeyAuth(api_key="key", request_route="/v1/chat/completions")

    async def source(chunks: Iterable[Chunk]) -> AsyncIterator[Any]:
        for one in chunks:
            yield ModelResponseStream(**copy.deepcopy(one))

    async def through(chunks: Iterable[Chunk], take: Callable[[Chunk], object]) -> None:
        package.callbacks = [guardrail]
        request = {"model": "gpt-4o", "stream": True, "metadata": {}}
        events = async_data_generator(source(chunks), key, request)
        with contextlib.suppress(HTTPException):  # its way to block
            async for event in events:
                text = event.decode() if isinstance(event, bytes) else event
                data = text.removeprefix("data: ").strip()
                if data != "[DONE]":
                    take(json.loads(data))

    return lambda chunks, take: _loop().run_until_complete(through(chunks, take))


def _litellm_guardrail(rules: Iterable[Filtered], action: str) -> Any:
    from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter import (
        ContentFilterGuardrail,
    )
    from litellm.types.guardrails import GuardrailEventHooks

    patterns, words = [], []
    for rule in rules:
        if rule.literal:
            words.append({"keyword": rule.literal, "action": action})
        elif rule.prebuilt:
            named = {"pattern_type": "prebuilt", "pattern_name": rule.prebuilt}
            patterns.append({**named, "action": action})
        else:
            own = {"pattern_type": "regex", "name": rule.name, "pattern": rule.regex}
            patterns.append({**own, "action": action})
    return ContentFilterGuardrail(
        guardrail_name="content-filter",
        patterns=patterns,
        blocked_words=words,
        event_hook=GuardrailEventHooks.post_call,
        default_on=True,
    )


@functools.cache
def per_chunk(rules: tuple[Filtered, ...]) -> Filter:
    """Return the filter that many a program writes: each chunk's content, searched for itself."""
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in _patterns(rules)]

    def filtered(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub("[REDACTED]", text)
        return text

    def through(chunks: Iterable[Chunk], take: Callable[[Chunk], object]) -> None:
        for one in chunks:
            kept = copy.deepcopy(one)
            for choice in kept["choices"]:
                if choice["delta"].get("content"):
                    choice["delta"]["content"] = filtered(choice["delta"]["content"])
            take(kept)

    return through


@functools.cache
def nemo(rules: tuple[Filtered, ...], *, stream_first: bool = False) -> Filter:
    """Return NeMo Guardrails' regex rail over a stream, its window as it is by default.

    The window has 200 chunks, and 50 of the window before.

    Args:
        rules: Its patterns; it blocks at the first match.
        stream_first: Its default is True: the text leaves before it is looked at.
    """
    from nemoguardrails import LLMRails, RailsConfig

    logging.getLogger("nemoguardrails").setLevel(logging.CRITICAL)
    output = {"patterns": list(_patterns(rules)), "case_insensitive": True}
    window = {"chunk_size": 200, "context_size": 50}
    streaming = {"enabled": True, "stream_first": stream_first, **window}
    config = {
        "models": [],
        "rails": {
            "config": {"regex_detection": {"output": output}},
            "output": {"flows": ["regex check output"], "streaming": streaming},
        },
    }
    rails = LLMRails(RailsConfig.from_content(config=config))
    asked = [{"role": "user", "content": "?"}]

    async def source(chunks: Iterable[Chunk]) -> AsyncIterator[str]:
        for one in chunks:
            piece = one["choices"][0]["delta"].get("content")
            if piece:
                yield piece

    async def through(chunks: Iterable[Chunk], take: Callable[[Chunk], object]) -> None:
        async for one in rails.stream_async(generator=source(chunks), messages=asked):
            take(chunk({"content": one}))

    return lambda chunks, take: _loop().run_until_complete(through(chunks, take))


def _patterns(rules: Iterable[Filtered]) -> Iterable[str]:
    """Yield the rules as patterns for ``re``: LiteLLM's own where it has one."""
    from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter import patterns

    for rule in rules:
        if rule.prebuilt:
            yield patterns.PREBUILT_PATTERNS[rule.prebuilt]
        else:
            yield rule.regex or re.escape(rule.literal or "")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return one loop for all streams: making one costs more than a stream."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner.get_loop()


def deltaweir(
    rules: tuple[Filtered, ...], *, fold: bool = False, preset: str | None = None
) -> Filter:
    """Return Deltaweir's guard around a stream, redacting.

    Args:
        rules: What it looks for.
        fold: Whether it looks through disguises.
        preset: A preset of Deltaweir's to use instead; of the rules only the literals count.
    """
    from deltaweir import Guard, watch

    guards = [_guard(rules, fold=fold)]
    if preset:
        literals = tuple(rule for rule in rules if rule.literal)
        guards = [Guard(preset, fold=fold), _guard(literals, fold=fold)]

    def through(chunks: Iterable[Chunk], take: Callable[[Chunk], object]) -> None:
        for one in watch((copy.deepcopy(one) for one in chunks), guard=guards):
            take(one)

    return through


def deltaweir_text(rules: tuple[Filtered, ...], *, fold: bool = False) -> Filter:
    """Return Deltaweir's guard for one text, without a stream around it: feed and finish.

    Args:
        rules: What it looks for.
        fold: Whether it looks through disguises.
    """
    template = _guard(rules, fold=fold)

    def through(chunks: Iterable[Chunk], take: Callable[[Chunk], object]) -> None:
        guard = template.fresh()
        for one in chunks:
            choice = one["choices"][0]
            text = guard.feed(choice["delta"].get("content") or "")
            if choice["finish_reason"]:
                text += guard.finish(cut=choice["finish_reason"] == "length")
            take(chunk({"content": text}))

    return through


@functools.cache
def _guard(rules: tuple[Filtered, ...], *, fold: bool) -> Any:
    from deltaweir import Guard, Rule

    made = [
        Rule(id=rule.name, literals=(rule.literal,), fold=fold)
        if rule.literal
        else Rule(id=rule.name, regex=rule.bounded, fold=fold)
        for rule in rules
    ]
    return Guard(made, action="redact")
