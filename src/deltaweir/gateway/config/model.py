"""The tables ``[[models]]``: what clients may ask for, and who answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.tables import refuse_twice
from deltaweir.meter.budget import Limit, limit_of
from deltaweir.meter.prices import Price, own_price
from deltaweir.recording import speed_of

_STAR = "*"
_LEAST_PER_MILLION = 0.001
"""US dollars; no million tokens costs less, and no token costs as much."""


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the tables ``[[models]]``.

    Attributes:
        name: What clients call it; with a ``*`` at its end, such as ``openai/*``, it stands for
            all names that begin like that and are not listed.
        embedded: A catalogue name, or the path of a GGUF file; this, ``replay`` or
            ``upstreams``.
        replay: The path of a recording that is played to whoever asks, at no cost.
        speed: How fast, as a factor on its own pace; 0 or ``max`` for at once.
        upstreams: Names of tables ``[[upstreams]]``, in order of preference.
        upstream_model: What upstreams are asked for, instead of the name; a ``*`` in it is
            replaced by what the star of the name stands for. A table of names by upstream,
            ``{openai = "gpt-4o-mini", azure = "my-deployment"}``, where they differ.
        budget: What each stream may use at most: ``{tokens = 500, usd = 0.02}``, or a text such
            as ``"500tok"``; a request may only ask for less.
        price: US dollars per million tokens: ``{input = 0.15, output = 0.6}``, and what
            `deltaweir.meter.prices.own_price` takes beside; nothing for the embedded model.
        guard: The name of one of the tables ``[guards.NAME]``, or of a preset, or several in a
            list; all of them look at each stream, and a request may only add more.
    """

    name: str
    embedded: str | None = None
    replay: str | None = None
    speed: float | str | None = None
    upstreams: tuple[str, ...] = ()
    upstream_model: str | dict[str, str] | None = None
    guard: str | tuple[str, ...] | None = None
    budget: dict[str, Any] | str | None = None
    price: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse a table from which nobody could tell who answers, and a budget that is none."""
        if not self.name:
            raise InvalidRequest("name: got an empty text", param="name")
        if _STAR in self.name[:-1]:
            raise InvalidRequest(
                f"name: got {self.name!r}, expected a name, or one with a * at its end such as "
                "openai/*",
                param="name",
            )
        if self.replay is not None or self.speed is not None:
            self._check_replay()
        elif (self.embedded is None) == (not self.upstreams):
            got = "neither" if self.embedded is None else "both"
            raise InvalidRequest(
                f"expected exactly one of embedded and upstreams, got {got}", param="models"
            )
        elif self.embedded is None:
            refuse_twice(self.upstreams, "upstreams", param="upstreams")
            self._check_sent()
        else:
            self._check_embedded(self.embedded)
        self._check_budget()
        if self.price is not None:
            _check_amounts(self.price)
            own_price(self.name, self.price)

    @property
    def is_pattern(self) -> bool:
        """Whether the name stands for many."""
        return self.name.endswith(_STAR)

    @property
    def limit(self) -> Limit:
        """The budget, as a limit."""
        return limit_of(self.budget)

    @property
    def guards(self) -> tuple[str, ...]:
        """The names of its guards."""
        named = () if self.guard is None else self.guard
        return (named,) if isinstance(named, str) else named

    @property
    def own_price(self) -> Price | None:
        """The price, as integers; None where none is set."""
        return None if self.price is None else own_price(self.name, self.price)

    def matches(self, name: str) -> bool:
        """Say whether a client that asks for this name means this model."""
        if not self.is_pattern:
            return name == self.name
        prefix = self.name[:-1]
        return name.startswith(prefix) and len(name) > len(prefix)

    def sent_name(self, name: str, upstream: str | None = None) -> str:
        """Return what an upstream is asked for.

        That is ``upstream_model``; else the client's name, without what stands before the star
        where that ends with a slash: of ``openai/*`` upstreams know nothing.

        Args:
            name: What the client asked for, a name that `matches`.
            upstream: Which; None for the first.
        """
        rest = name[len(self.name) - 1 :] if self.is_pattern else name
        sent = self.upstream_model
        if isinstance(sent, dict):
            sent = sent.get(self.upstreams[0] if upstream is None else upstream)
        if sent is not None:
            return sent.replace(_STAR, rest) if self.is_pattern else sent
        return rest if self.name.endswith(f"/{_STAR}") else name

    def _check_replay(self) -> None:
        for name in ("embedded", "upstreams", "upstream_model"):
            if self.replay and getattr(self, name):
                raise InvalidRequest(f"got replay and {name}, expected one of both", param="models")
        if not self.replay or self.is_pattern:
            got = "an empty replay" if self.replay == "" else "a speed and no replay"
            raise InvalidRequest(
                f"name: got {self.name!r}, but a recording has one name"
                if self.replay
                else f"got {got}; expected replay, the path of a recording",
                param="replay",
            )
        speed_of(self.speed)

    def _check_budget(self) -> None:
        try:
            limit_of(self.budget)
        except InvalidRequest as error:  # in TOML nobody can write JSON
            said = error.message.replace('{"tokens": n, "usd": x}', "{ tokens = 500, usd = 0.02 }")
            raise InvalidRequest(said, param=error.param) from error

    def _check_sent(self) -> None:
        sent = self.upstream_model
        if isinstance(sent, dict):
            for upstream, one in sent.items():
                if upstream not in self.upstreams:
                    raise InvalidRequest(
                        f"upstream_model: {upstream[:80]!r} is none of the model's upstreams, "
                        f"{', '.join(self.upstreams)}",
                        param="upstream_model",
                    )
                self._check_one(one)
        elif sent is not None:
            self._check_one(sent)

    def _check_one(self, sent: str) -> None:
        if not sent:
            raise InvalidRequest(
                "upstream_model: got an empty text; leave it out to send the name",
                param="upstream_model",
            )
        most = 1 if self.is_pattern else 0
        if sent.count(_STAR) > most:
            wanted = "at most one *" if most else "no *, as the name has none"
            raise InvalidRequest(
                f"upstream_model: got {sent!r}, expected {wanted}", param="upstream_model"
            )

    def _check_embedded(self, embedded: str) -> None:
        if not embedded:
            raise InvalidRequest("embedded: got an empty text", param="embedded")
        if self.is_pattern:
            raise InvalidRequest(
                f"name: got {self.name!r}, but an embedded model has one name", param="name"
            )
        if self.upstream_model is not None:
            raise InvalidRequest(
                "upstream_model: an embedded model has none; leave it out", param="upstream_model"
            )


def _check_amounts(price: dict[str, Any]) -> None:
    """Refuse prices per token, which would let a budget last a million times too long."""
    for kind, amount in price.items():
        if isinstance(amount, str):
            raise InvalidRequest(
                f"price: {kind} is the text {amount[:40]!r}; write a number, without quotes",
                param="price",
            )
        if kind != "request" and isinstance(amount, float) and 0 < amount < _LEAST_PER_MILLION:
            shown = Decimal(repr(amount))
            raise InvalidRequest(
                f"price: {kind} is {shown:f} dollars per million tokens; that looks like a price "
                f"per token, write {(shown * 10**6).normalize():f}",
                param="price",
            )
