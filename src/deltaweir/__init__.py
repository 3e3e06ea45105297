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
    from deltaweir.client.asynchronous import AsyncClient
    from deltaweir.client.asynchronous import AsyncClient as AsyncOpenAI
    from deltaweir.client.blocking import Client
    from deltaweir.client.blocking import Client as OpenAI
    from deltaweir.client.classic import ChatCompletion, Completion
    from deltaweir.client.streams import AsyncStream, Stream
    from deltaweir.errors import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        AuthenticationFailed,
        BadRequestError,
        BudgetExceeded,
        ConnectionFailed,
        ContextLengthExceeded,
        DeltaweirError,
        EngineMissing,
        GuardBlocked,
        InternalServerError,
        InvalidRequest,
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

__version__ = "0.1.0"

api_key: str | None = None
"""The key for the classic surface; this release answers from the embedded model only."""
api_base: str | None = None
"""The provider's address for the classic surface; likewise."""
organization: str | None = None
"""The organisation for the classic surface."""
proxy: str | dict[str, str] | None = None
"""The proxy for the classic surface."""

_ERRORS = (
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "AuthenticationFailed",
    "BadRequestError",
    "BudgetExceeded",
    "ConnectionFailed",
    "ContextLengthExceeded",
    "DeltaweirError",
    "EngineMissing",
    "GuardBlocked",
    "InternalServerError",
    "InvalidRequest",
    "ModelCorrupt",
    "ModelNotFound",
    "ModelUnavailable",
    "NotFoundError",
    "PermissionDenied",
    "PermissionDeniedError",
    "RateLimitError",
    "RateLimited",
    "ServiceUnavailable",
    "StallTimeout",
    "StreamFailed",
    "StreamTruncated",
)

_HOMES = {
    "AsyncClient": ("client.asynchronous", "AsyncClient"),
    "AsyncOpenAI": ("client.asynchronous", "AsyncClient"),
    "AsyncStream": ("client.streams", "AsyncStream"),
    "ChatCompletion": ("client.classic", "ChatCompletion"),
    "Client": ("client.blocking", "Client"),
    "Completion": ("client.classic", "Completion"),
    "OpenAI": ("client.blocking", "Client"),
    "Stream": ("client.streams", "Stream"),
    **{name: ("errors", name) for name in _ERRORS},
}
_MODULES = ("error", "errors", "testing", "types")

__all__ = [  # noqa: PLE0604  # names of the tables above, each a string
    "__version__",
    "api_base",
    "api_key",
    "organization",
    "proxy",
    *sorted(_HOMES),
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"deltaweir.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'deltaweir' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(f"deltaweir.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted(__all__)
