"""The state behind the gateway's routes: models, upstreams, ledger, and the streams that run."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.requests import Request

from deltaweir.accounts import Line
from deltaweir.adapters.encodings import encoding_of
from deltaweir.adapters.prices import price_of
from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.errors import AuthenticationFailed, InvalidRequest, ModelNotFound
from deltaweir.gateway.config import Config, ModelConfig
from deltaweir.gateway.guards import Guards
from deltaweir.gateway.keys import Key
from deltaweir.gateway.ledger import Ledger
from deltaweir.gateway.runs import Run
from deltaweir.gateway.upstreams import Upstream
from deltaweir.meter.prices import Price
from deltaweir.stores.failures import LedgerUnavailable

_log = logging.getLogger("deltaweir.gateway")

Scope = Any
Authorize = Callable[[Request], str | Awaitable[str | None] | None]
"""Takes a request and returns its user's name, or None to refuse it."""

MOST_NAME_CHARS = 256
"""Characters of a model's name that only a pattern knows."""
MOST_WARM = 10_000
"""Names of models that are remembered as loaded, since a pattern knows no end of them."""
FLUSH_S = 2.0
"""How long a report waits for rows that are on their way to disk, in seconds."""
RETRY_S = 1.0
"""How long a ledger that could not be opened is left alone, in seconds."""


class Caller(NamedTuple):
    """Who asks."""

    user: str | None = None
    """Their name, as the host of the gateway knows them."""
    key: Key | None = None
    """Their key, where this gateway wants one."""


class Route(NamedTuple):
    """Where a request goes."""

    name: str
    """The model's name as the client used it."""
    model: ModelConfig
    upstreams: tuple[Upstream, ...]
    """Who answers, in order of preference; empty for the embedded model."""


class Gateway:
    """Know the models, keep the ledger, and end what runs.

    Args:
        config: What to serve.
        authorize: Takes a request and returns its user's name, None to refuse it.

    Attributes:
        runs: The streams that run.
        upstreams: The upstreams at work, by name.
        guards: The guards that models and requests name.
        draining: Whether new requests are refused since the server stops.
    """

    def __init__(self, config: Config, *, authorize: Authorize | None = None) -> None:
        self.config = config
        self._authorize = authorize
        self.runs: set[Run] = set()
        self.guards = Guards(config.guards)
        self.draining = False
        self.upstreams = {one.name: Upstream(one) for one in config.upstreams}
        self._models = {model.name: model for model in config.models}
        self._warm: set[str] = set()
        self._prices: dict[str, Price | None] = {}
        self._ledger: Ledger | None = None
        self._opening = threading.Lock()
        self._refused: tuple[float, LedgerUnavailable] | None = None
        self._logged = ""

    @property
    def models(self) -> list[str]:
        """The names of the models, the default first."""
        return [*self._models]

    def model_for(self, name: str | None) -> ModelConfig:
        """Return the model behind a name; the first where none is named.

        A name that is listed wins over the patterns it fits, and of these the longest.

        Raises:
            ModelNotFound: No model has this name.
        """
        if name is None:
            return next(iter(self._models.values()))
        if name in self._models and not self._models[name].is_pattern:
            return self._models[name]
        fitting = [one for one in self._models.values() if one.is_pattern and one.matches(name)]
        if fitting and len(name) <= MOST_NAME_CHARS:
            return max(fitting, key=lambda one: len(one.name))
        raise ModelNotFound(
            f"no model is called {name[:80]!r}; this server has: {', '.join(self._models)}",
            param="model",
        )

    def route_to(self, name: str | None) -> Route:
        """Return where a request for a model goes.

        Raises:
            ModelNotFound: No model has this name, or none is named and the first is a pattern.
        """
        model = self.model_for(name)
        if name is None and model.is_pattern:
            raise ModelNotFound(
                f"got no model; this server has: {', '.join(self._models)}", param="model"
            )
        upstreams = tuple(self.upstreams[one] for one in model.upstreams)
        return Route(name or model.name, model, upstreams)

    def reload(self, config: Config) -> None:
        """Serve another configuration from the next request on; what runs goes on as it began.

        Upstreams that stay as they were keep their connections.

        Args:
            config: Where to listen and where the ledger lies are not looked at again.
        """
        old = self.upstreams
        kept = {one.name: one for one in old.values() if one.config in config.upstreams}
        self.upstreams = {one.name: kept.get(one.name) or Upstream(one) for one in config.upstreams}
        self._models = {model.name: model for model in config.models}
        self._prices = {}
        self.guards = Guards(config.guards)
        self.config = config
        for name, one in old.items():
            if self.upstreams.get(name) is not one:
                one.close()

    def price_of(self, model: ModelConfig) -> Price | None:
        """Return the price that the configuration sets for a model; None where it sets none."""
        if model.name not in self._prices:
            self._prices[model.name] = model.own_price
        return self._prices[model.name]

    @property
    def is_open(self) -> bool:
        """Whether the ledger was opened, so that `ledger` returns at once."""
        return self._ledger is not None or not self.config.ledger.url

    def is_warm(self, route: Route) -> bool:
        """Tell whether all that counting and pricing a model's streams needs is loaded."""
        return not route.upstreams or route.model.sent_name(route.name) in self._warm

    def warm(self, route: Route) -> None:
        """Load what counting and pricing a model's streams needs; blocks."""
        sent = route.model.sent_name(route.name)
        tokenizer_of(encoding_of(sent).name)
        for upstream in route.upstreams:
            price_of(sent, base_url=upstream.provider.base_url)
        if len(self._warm) < MOST_WARM:
            self._warm.add(sent)

    def warm_all(self) -> None:
        """Load it for all models that are listed; blocks."""
        for name, model in self._models.items():
            if not model.is_pattern:
                self.warm(self.route_to(name))

    async def user_of(self, scope: Scope) -> str | None:
        """Return who asks, as the host knows them; None where nobody checks.

        Raises:
            AuthenticationFailed: The host refuses the request.
        """
        if self._authorize is None:
            return None
        user = self._authorize(Request(scope))
        if inspect.isawaitable(user):
            user = await user
        if user is None:
            raise AuthenticationFailed("this request is not authorised")
        return user

    async def caller_of(self, scope: Scope) -> Caller:
        """Return who asks.

        Raises:
            AuthenticationFailed: The host, or this gateway, refuses the request.
        """
        return Caller(user=await self.user_of(scope))

    def open_ledger(self) -> Ledger | None:
        """Return the ledger, opened by the first call, which blocks; None where there is none.

        Raises:
            LedgerUnavailable: It cannot be opened; the message, for operators, names the file.
        """
        with self._opening:
            if self._ledger is None:
                self._ledger = Ledger.open(self.config.ledger.url)
            return self._ledger

    def ledger(self) -> Ledger | None:
        """Return the ledger as `open_ledger` does, for a request.

        Raises:
            LedgerUnavailable: It cannot be opened; clients are not told where it lies.
        """
        refused = self._refused
        if refused is not None and time.monotonic() < refused[0]:
            raise _hidden(refused[1])
        try:
            return self.open_ledger()
        except LedgerUnavailable as error:
            self._refused = time.monotonic() + RETRY_S, error
            raise self._told(error) from error

    def written(self) -> Ledger:
        """Return the ledger with all that has happened so far in it; blocks.

        Where rows cannot be written in `FLUSH_S`, they are missing from it.

        Raises:
            InvalidRequest: This server has no ledger.
            LedgerUnavailable: It cannot be opened.
        """
        ledger = self.ledger()
        if ledger is None:
            raise InvalidRequest(
                "this server keeps no ledger; set [ledger] url", status=404, code="no_ledger"
            )
        ledger.flush(FLUSH_S)
        return ledger

    def usage(self, **chosen: Any) -> list[Line]:
        """Return what was used, with all that has happened so far; blocks.

        Args:
            **chosen: As for `deltaweir.gateway.ledger.Ledger.usage`.

        Raises:
            InvalidRequest: This server has no ledger, or a group has an unknown name.
            LedgerUnavailable: It cannot be opened or read; clients are not told where it lies.
        """
        ledger = self.written()
        try:
            return ledger.usage(**chosen)
        except LedgerUnavailable as error:
            raise self._told(error) from error

    def close(self) -> None:
        """Write what the ledger still waits for, and let go of it; blocks."""
        with self._opening:
            ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    def stop_answers(self) -> None:
        """End every stream that still runs; each client is told."""
        for run in [*self.runs]:
            run.stop()

    @property
    def answers(self) -> set[Run]:
        """The streams that run."""
        return self.runs

    def _told(self, error: LedgerUnavailable) -> LedgerUnavailable:
        """Tell the log what is wrong, and return what a client may know."""
        if self._logged != str(error):  # never a flood of lines
            self._logged = str(error)
            _log.error("%s", error)  # users' mistakes have no traceback
        return _hidden(error)


def _hidden(error: LedgerUnavailable) -> LedgerUnavailable:
    return LedgerUnavailable(
        "this server's ledger cannot be used; its log says why", code=error.code
    )
