"""Stream LLM completions; count every token and control every character as it arrives.

>>> import deltaweir
>>> client = deltaweir.Client()  # a model on this machine; nothing leaves it

The names of the classic openai package (before 1.0) are here as well, so that
``import deltaweir as openai`` runs old snippets unchanged. What is public is what
``__all__`` names; everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltaweir import error, errors, testing, types
    from deltaweir.adapters.classifiers import Classifier
    from deltaweir.adapters.guards import Guard
    from deltaweir.client.asynchronous import AsyncClient
    from deltaweir.client.asynchronous import AsyncClient as AsyncOpenAI
    from deltaweir.client.blocking import Client
    from deltaweir.client.blocking import Client as OpenAI
    from deltaweir.client.classic import ChatCompletion, Completion
    from deltaweir.client.counting import count_prompt, count_tokens
    from deltaweir.client.record import record
    from deltaweir.client.streams import AsyncStream, Stream
    from deltaweir.client.watch import watch
    from deltaweir.client.watched import AsyncWatchedStream, WatchedStream
    from deltaweir.errors import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        AuthenticationFailed,
        BadRequestError,
        BudgetExceeded,
        ClassifierFailed,
        ConnectionFailed,
        ContextLengthExceeded,
        DeltaweirError,
        EngineMissing,
        GuardBlocked,
        InternalServerError,
        InvalidRecording,
        InvalidRequest,
        InvalidRule,
        ModelCorrupt,
        ModelNotFound,
        ModelUnavailable,
        NotFoundError,
        PermissionDenied,
        PermissionDeniedError,
        RateLimited,
        RateLimitError,
        ServiceUnavailable,
        StallTimeout,
        StreamFailed,
        StreamTruncated,
    )
    from deltaweir.gateway.embed import asgi, sse_response
    from deltaweir.guard.findings import Finding
    from deltaweir.guard.rules import Rule
    from deltaweir.guard.verdicts import Verdict

__version__ = "0.1.0"

api_key: str | None = None
"""The key for the classic surface."""
api_base: str | None = None
"""The provider's address for the classic surface."""
organization: str | None = None
"""The organisation for the classic surface."""
proxy: str | dict[str, str] | None = None
"""The proxy for the classic surface."""


_HOMES = {
    "AsyncClient": ("client.asynchronous", "AsyncClient"),
    "AsyncOpenAI": ("client.asynchronous", "AsyncClient"),
    "AsyncStream": ("client.streams", "AsyncStream"),
    "AsyncWatchedStream": ("client.watched", "AsyncWatchedStream"),
    "ChatCompletion": ("client.classic", "ChatCompletion"),
    "Classifier": ("adapters.classifiers", "Classifier"),
    "Client": ("client.blocking", "Client"),
    "Completion": ("client.classic", "Completion"),
    "Finding": ("guard.findings", "Finding"),
    "Guard": ("adapters.guards", "Guard"),
    "OpenAI": ("client.blocking", "Client"),
    "Rule": ("guard.rules", "Rule"),
    "Stream": ("client.streams", "Stream"),
    "Verdict": ("guard.verdicts", "Verdict"),
    "WatchedStream": ("client.watched", "WatchedStream"),
    "asgi": ("gateway.embed", "asgi"),
    "count_prompt": ("client.counting", "count_prompt"),
    "count_tokens": ("client.counting", "count_tokens"),
    "record": ("client.record", "record"),
    "sse_response": ("gateway.embed", "sse_response"),
    "watch": ("client.watch", "watch"),
}
_MODULES = ("error", "errors", "testing", "types")

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncOpenAI",
    "AsyncStream",
    "AsyncWatchedStream",
    "AuthenticationError",
    "AuthenticationFailed",
    "BadRequestError",
    "BudgetExceeded",
    "ChatCompletion",
    "Classifier",
    "ClassifierFailed",
    "Client",
    "Completion",
    "ConnectionFailed",
    "ContextLengthExceeded",
    "DeltaweirError",
    "EngineMissing",
    "Finding",
    "Guard",
    "GuardBlocked",
    "InternalServerError",
    "InvalidRecording",
    "InvalidRequest",
    "InvalidRule",
    "ModelCorrupt",
    "ModelNotFound",
    "ModelUnavailable",
    "NotFoundError",
    "OpenAI",
    "PermissionDenied",
    "PermissionDeniedError",
    "RateLimitError",
    "RateLimited",
    "Rule",
    "ServiceUnavailable",
    "StallTimeout",
    "Stream",
    "StreamFailed",
    "StreamTruncated",
    "Verdict",
    "WatchedStream",
    "__version__",
    "api_base",
    "api_key",
    "asgi",
    "count_prompt",
    "count_tokens",
    "error",
    "errors",
    "organization",
    "proxy",
    "record",
    "sse_response",
    "testing",
    "types",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"deltaweir.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'deltaweir' has no attribute {name!r}")
    module, attribute = _HOMES.get(name, ("errors", name))
    value = getattr(importlib.import_module(f"deltaweir.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted(__all__)
