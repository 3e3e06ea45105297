"""What the page has to know of its server before anybody asks something."""

from __future__ import annotations

from typing import Any

from deltaweir import __version__
from deltaweir.gateway.config.model import ModelConfig
from deltaweir.gateway.keys.access import Caller
from deltaweir.gateway.service import Gateway


def settings(gateway: Gateway, caller: Caller) -> dict[str, Any]:
    """Return what the page offers to somebody, ready for JSON.

    Args:
        gateway: Its models and guards.
        caller: Who looks; models that their key may not use are left out.

    Returns:
        ``version``; ``auth``, as configured; ``caller`` with ``name`` (of a key, or as the host
        knows them; None where nobody is told apart) and ``operator`` (whether they may see the
        dashboard); ``models``, each with ``id``, ``embedded`` and ``guard`` (names of what always
        watches it); ``patterns`` such as ``openai/*``, which further names may fit; ``guards``,
        the names that a request may add; ``resume``, whether streams outlive their connection.
    """
    key = caller.key
    names = gateway.routing.models
    if key is not None:
        names = [name for name in names if name[-1] == "*" or key.terms.permit(name)]
    return {
        "version": __version__,
        "auth": gateway.config.server.auth,
        "caller": {
            "name": caller.user if key is None else key.name,
            "operator": caller.operator,
        },
        "models": [_model(gateway.routing.model_for(name)) for name in names if name[-1] != "*"],
        "patterns": [name for name in names if name[-1] == "*"],
        "guards": gateway.guards.names,
        "resume": gateway.resumable,
    }


def _model(model: ModelConfig) -> dict[str, Any]:
    return {
        "id": model.name,
        "embedded": model.embedded is not None,
        "guard": list(model.guards),
    }
