"""A call of the classic surface: settings of the module, the environment and the call itself.

Without a provider every model name is answered by the embedded model, with one warning a
process. With one, calls share its connections, as they did in the old package.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, ClassVar, NamedTuple

from deltaweir.client.async_dispatch import AsyncDispatch
from deltaweir.client.destination import Settings, provider_for
from deltaweir.client.dispatch import Dispatch
from deltaweir.client.playback import is_replay
from deltaweir.errors import InvalidRequest
from deltaweir.models.catalogue import default_entry
from deltaweir.models.weights import is_embedded
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.blocking import Pool

# settings of Azure's flavour, whose addresses are made otherwise
_AZURE = ("api_type", "api_version")


class Way(NamedTuple):
    """How a call reaches its provider or the embedded model."""

    blocking: Dispatch
    proxy: str | None

    def asynchronous(self) -> AsyncDispatch:
        """Return the same way for a call that is awaited; its connections serve it alone."""
        return AsyncDispatch(self.blocking.settings, AsyncPool(proxy=self.proxy), None)


class _Process:
    """What the classic surface remembers in a process."""

    warned: ClassVar[bool] = False
    pools: ClassVar[dict[str | None, Pool]] = {}


def classic_call(model: Any, params: dict[str, Any]) -> tuple[Way, dict[str, Any]]:
    """Return where a call goes, and its fields.

    Args:
        model: The model's name, which ``engine`` or ``deployment_id`` may stand for.
        params: What else the call was given.

    Raises:
        InvalidRequest: A parameter is of no use.
    """
    module = sys.modules["deltaweir"]
    fields = dict(params)
    for name in _AZURE:
        if fields.pop(name, None) not in (None, "open_ai"):
            raise InvalidRequest(
                f"got {name}, which belongs to Azure's old addresses; use Client with the "
                "deployment's base_url and default_query={'api-version': ...}",
                param=name,
            )
    settings = Settings(
        base_url=_first(fields.pop("api_base", None), module.api_base, _env("OPENAI_API_BASE")),
        api_key=_first(fields.pop("api_key", None), module.api_key),
        organization=_first(fields.pop("organization", None), module.organization),
        headers=fields.pop("headers", None),
    )
    wanted = _first(model, fields.pop("engine", None), fields.pop("deployment_id", None))
    embedded = isinstance(wanted, str) and is_embedded(wanted)
    fields["model"] = wanted
    if (
        not is_replay(wanted, settings)
        and provider_for(settings, os.environ, embedded=embedded) is None
    ):
        fields["model"] = _embedded(wanted)
    limit = fields.pop("request_timeout", None)
    if limit is not None:
        # requests takes a pair, of which the second is the wait for an answer
        fields["timeout"] = limit[1] if isinstance(limit, tuple) else limit
    proxy = _proxy(module.proxy)
    pool = _Process.pools.setdefault(proxy, Pool(proxy=proxy))
    if settings.base_url is not None and settings.api_key is None:
        settings = settings._replace(api_key=_env("OPENAI_API_KEY"))
    return Way(Dispatch(settings, pool, None), proxy), fields


def _embedded(model: Any) -> str | None:
    """Return the embedded model that answers for a name, with one warning if it is another."""
    if model is None or (isinstance(model, str) and is_embedded(model)):
        return model
    if not isinstance(model, str):
        raise InvalidRequest(
            f"got a model of type {type(model).__name__}, expected a name", param="model"
        )
    default = default_entry().name
    if not _Process.warned:
        _Process.warned = True
        warnings.warn(
            f"no provider is configured, so {default} on this machine answers for {model}",
            stacklevel=4,
        )
    return default


def _proxy(proxy: Any) -> str | None:
    if isinstance(proxy, dict):
        return proxy.get("https") or proxy.get("http")
    return proxy if proxy is None else str(proxy)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _env(name: str) -> str | None:
    return os.environ.get(name) or None
