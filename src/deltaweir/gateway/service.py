"""The state behind the gateway's routes: models, ledger, and the streams that run."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request

from deltaweir.accounts import Line
from deltaweir.errors import AuthenticationFailed, InvalidRequest, ModelNotFound
from deltaweir.gateway.answer import Answer
from deltaweir.gateway.config import Config, ModelConfig
from deltaweir.gateway.guards import Guards
from deltaweir.gateway.ledger import Ledger
from deltaweir.stores.failures import LedgerUnavailable

_log = logging.getLogger("deltaweir.gateway")

Scope = Any
Authorize = Callable[[Request], str | Awaitable[str | None] | None]
"""Takes a request and returns its user's name, or None to refuse it."""

FLUSH_S = 2.0
"""How long a report waits for rows that are on their way to disk, in seconds."""
RETRY_S = 1.0
"""How long a ledger that could not be opened is left alone, in seconds."""


class Gateway:
    """Know the models, keep the ledger, and end what runs.

    Args:
        config: What to serve.
        authorize: Takes a request and returns its user's name, None to refuse it.

    Attributes:
        answers: The replies on their way.
        guards: The guards that models and requests name.
        draining: Whether new requests are refused since the server stops.
    """

    def __init__(self, config: Config, *, authorize: Authorize | None = None) -> None:
        self.config = config
        self._authorize = authorize
        self.answers: set[Answer] = set()
        self.guards = Guards(config.guards)
        self.draining = False
        self._models = {model.name: model for model in config.models}
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

        Raises:
            ModelNotFound: No model has this name.
        """
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise ModelNotFound(
                f"no model is called {name[:80]!r}; this server has: {', '.join(self._models)}",
                param="model",
            )
        return self._models[name]

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
        for answer in [*self.answers]:
            answer.stop()

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
