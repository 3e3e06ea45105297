"""The embedded models in a process of their own: what it serves, and how workers reach it.

Workers must not each load the weights, so to them these models are an upstream on this machine.
That process answers whoever has the token, and leaves everything that workers do to them:
ledger, guards, budgets, log.
"""

from __future__ import annotations

from msgspec.structs import replace

from deltaweir.gateway.config.file import Config, LedgerConfig, ModelConfig, UpstreamConfig

HOST = "127.0.0.1"
UPSTREAM = "embedded"
FREE = {"input": 0, "output": 0}
"""The price of an embedded model where none is set, as where it is in the worker itself."""


def embedded_in(config: Config) -> list[str]:
    """Return the catalogue names and paths of the embedded models of a configuration."""
    return [model.embedded for model in config.models if model.embedded is not None]


def embedded_only(config: Config) -> Config:
    """Return what the process with the embedded models serves.

    Args:
        config: The whole configuration.
    """
    return Config(
        server=replace(
            config.server,
            host=HOST,
            port=0,
            workers=1,
            auth="none",
            cors_origins=(),
            annotate=False,
            passthrough=(),
            log="none",
        ),
        models=tuple(
            ModelConfig(name=model.name, embedded=model.embedded)
            for model in config.models
            if model.embedded is not None
        ),
        ledger=LedgerConfig(url=""),
    )


def by_loopback(config: Config, *, port: int, token: str) -> Config:
    """Return what a worker serves: all of it, the embedded models from the other process.

    Args:
        config: The whole configuration.
        port: Where that process listens.
        token: What it wants to be shown.
    """
    taken = {one.name for one in config.upstreams}
    name = UPSTREAM
    while name in taken:
        name += "-"
    upstream = UpstreamConfig(
        name=name,
        base_url=f"http://{HOST}:{port}/v1",
        api_key=token,
        proxy="",  # what the environment says is for other machines
        deltaweir=True,
    )
    return replace(
        config,
        upstreams=(*config.upstreams, upstream),
        models=tuple(_reached(model, name) for model in config.models),
    )


def _reached(model: ModelConfig, upstream: str) -> ModelConfig:
    if model.embedded is None:
        return model
    price = FREE if model.price is None else model.price
    return replace(model, embedded=None, upstreams=(upstream,), price=price)
