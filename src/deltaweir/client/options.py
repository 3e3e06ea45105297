"""The options of a call, as types that an editor can complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from deltaweir.adapters.guards import AnyGuard
from deltaweir.meter.budget import AnyBudget
from deltaweir.recorded_request import AnyRecord
from deltaweir.recording import AnySpeed


class SamplingOptions(TypedDict, total=False):
    """What both endpoints take; OpenAI's reference describes each."""

    frequency_penalty: float | None
    logit_bias: dict[str, float] | None
    max_tokens: int | None
    n: int | None
    presence_penalty: float | None
    seed: int | None
    stop: str | list[str] | None
    stream_options: dict[str, Any] | None
    temperature: float | None
    top_p: float | None
    user: str | None
    budget: AnyBudget
    """What the answer may use at most: ``{"tokens": n, "usd": x}``, or ``"500tok"``."""
    guard: AnyGuard
    """What may not leave: a preset such as ``"standard"``, a TOML file's path, rules, a
    `deltaweir.Guard`, or several; it adds to the client's and is never sent."""
    extra_body: Mapping[str, Any] | None
    """Fields that this list does not have; they are merged into the request."""
    extra_headers: Mapping[str, str] | None
    """Headers for this request alone; they go to a provider only."""
    extra_query: Mapping[str, Any] | None
    """Query for this request alone; it goes to a provider only."""
    record: AnyRecord
    """The file that the answer is recorded to, or a folder to make one in; with
    ``{"file": ..., "request": "full"}`` the prompt is in it as well. Never sent."""
    replay_speed: AnySpeed
    """How fast a recording is played where the model is one: a factor; 0 for at once."""
    resume: bool | None
    """Whether a stream goes on by a new connection when its own broke, where the server offers
    that, as our gateway does; the client's unless told."""
    timeout: float | None
    """Seconds for the whole answer."""
    timeouts: Mapping[str, float | None] | None
    """Seconds by clock: connect, headers, first_content, stall, total."""


class ChatOptions(SamplingOptions, total=False):
    """What a chat completion takes beside messages, model and stream."""

    audio: dict[str, Any] | None
    function_call: str | dict[str, Any] | None
    functions: list[dict[str, Any]] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    metadata: dict[str, Any] | None
    modalities: list[str] | None
    parallel_tool_calls: bool | None
    prediction: dict[str, Any] | None
    prompt_cache_key: str | None
    reasoning_effort: str | None
    response_format: dict[str, Any] | None
    safety_identifier: str | None
    service_tier: str | None
    store: bool | None
    tool_choice: str | dict[str, Any] | None
    tools: list[dict[str, Any]] | None
    top_logprobs: int | None
    verbosity: str | None


class TextOptions(SamplingOptions, total=False):
    """What a text completion takes beside prompt, model and stream."""

    best_of: int | None
    echo: bool | None
    logprobs: int | None
    suffix: str | None


class ClientOptions(TypedDict, total=False):
    """What ``with_options`` changes of a client."""

    base_url: str | None
    api_key: str | None
    organization: str | None
    project: str | None
    default_headers: Mapping[str, str] | None
    default_query: Mapping[str, str] | None
    max_retries: int
    budget: AnyBudget
    guard: AnyGuard
    record: AnyRecord
    replay_speed: AnySpeed
    resume: bool
    timeout: float | None
    timeouts: Mapping[str, float | None] | None
