"""Where requests go: the models of a configuration, and the upstreams that answer for them."""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.adapters.encodings import encoding_of
from deltaweir.adapters.prices import price_of
from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.errors import ModelNotFound
from deltaweir.gateway.config.file import Config, ModelConfig
from deltaweir.gateway.metrics.summary import Summary
from deltaweir.gateway.upstreams.upstreams import Upstream
from deltaweir.meter.prices import Price
from deltaweir.recording import REPLAY
from deltaweir.stores.ledger_columns import FAILURES

MOST_NAME_CHARS = 256
"""Characters of a model's name that only a pattern knows."""
MOST_WARM = 10_000
"""Names of models that are remembered as loaded, since a pattern knows no end of them."""


class Route(NamedTuple):
    """Where a request goes."""

    name: str
    """The model's name as the client used it."""
    model: ModelConfig
    upstreams: tuple[Upstream, ...]
    """Who answers, in order of preference; empty for the embedded model, and for recordings."""


class Routing:
    """Know models by the names that clients use.

    Args:
        config: Names models and upstreams.
        before: What held until now: upstreams that stay as they were keep their connections.

    Attributes:
        upstreams: The upstreams at work, by name.
    """

    def __init__(self, config: Config, before: Routing | None = None) -> None:
        kept: dict[str, Upstream] = {} if before is None else before.upstreams
        self.upstreams: dict[str, Upstream] = {
            one.name: kept[one.name]
            if one.name in kept and kept[one.name].config == one
            else Upstream(one)
            for one in config.upstreams
        }
        self._models = {model.name: model for model in config.models}
        self._recordings = config.recordings
        self._warm: set[str] = set()
        self._prices: dict[str, Price | None] = {}

    @property
    def models(self) -> list[str]:
        """The names of the models, the default first; patterns among them."""
        return [*self._models]

    def model_for(self, name: str | None) -> ModelConfig:
        """Return the model behind a name; the first where none is named.

        A name that is listed wins over the patterns it fits, and of these the longest. Else
        ``replay:NAME`` is a recording of that name.

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
        if name.startswith(REPLAY):
            path = self._recordings.path(name.removeprefix(REPLAY))
            if path is not None and path.is_file():
                return ModelConfig(name=name, replay=str(path))
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

    def price_of(self, model: ModelConfig) -> Price | None:
        """Return the price that the configuration sets for a model; None where it sets none."""
        if model.name not in self._prices:
            self._prices[model.name] = model.own_price
        return self._prices[model.name]

    def ended(self, summary: Summary) -> None:
        """Take note how a stream ended: one that broke after it had begun is its upstream's."""
        upstream = self.upstreams.get(summary.upstream)
        broke = summary.ending in FAILURES and summary.first_content_s is not None
        if upstream is not None and broke:
            upstream.failed(summary.code)

    def is_warm(self, route: Route) -> bool:
        """Tell whether all that counting and pricing a model's streams needs is loaded."""
        return not route.upstreams or route.model.sent_name(route.name) in self._warm

    def warm(self, route: Route) -> None:
        """Load what counting and pricing a model's streams needs; blocks."""
        sent = route.model.sent_name(route.name)
        tokenizer_of(encoding_of(sent).name).count(" ")  # the first count loads most of it
        for upstream in route.upstreams:
            price_of(sent, base_url=upstream.provider.base_url)
        if len(self._warm) < MOST_WARM:
            self._warm.add(sent)

    def warm_all(self) -> None:
        """Load it for all models that are listed; blocks."""
        for name, model in self._models.items():
            if model.upstreams and not model.is_pattern:
                self.warm(self.route_to(name))

    def close_all_but(self, after: Routing) -> None:
        """Close the connections of upstreams that no longer serve."""
        for name, one in self.upstreams.items():
            if after.upstreams.get(name) is not one:
                one.close()
