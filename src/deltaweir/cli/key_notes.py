"""What to say beside a new key: where it is kept, and why it may be of no use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaweir.cli.configured import DEFAULT, configuration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def kept_in(ledger: str, config: Path | None, *, new: bool) -> str:
    """Return where a key is kept; where the ledger is new, that a server may use another.

    Args:
        ledger: The ledger's file.
        config: The configuration that was named, if any.
        new: Whether the key is the ledger's first.
    """
    said = f"in the {'new ' if new else ''}ledger {ledger}"
    if new and configuration(config) is None:
        said += f"; no {DEFAULT} is here, so if a server uses another file, say --config FILE"
    return said


def kept_in_store(store: str, prefix: str) -> str:
    """Return where a key is kept.

    Args:
        store: The store's URL, without its password.
        prefix: How all names in it begin.
    """
    return f"in the store {store}, under {prefix}"


def doubts(models: tuple[str, ...], config: Path | None) -> Iterator[str]:
    """Return why a new key may be of no use, each reason as a line.

    Args:
        models: The models that it is for; empty for all.
        config: The configuration that was named, if any.
    """
    # heavy: only a new key pays for it
    from deltaweir.gateway.config.file import outline_in

    file = configuration(config)
    if file is None:
        yield (
            "Note: a server without a configuration asks nobody for a key; one that does has "
            'auth = "keys" under [server].'
        )
        return
    outline = outline_in(file)
    if not outline.asks_for_keys:
        yield f'Note: {file} asks nobody for a key until it says auth = "keys" under [server].'
    for name in models:
        if outline.models is not None and not any(_meet(name, one) for one in outline.models):
            yield f"Note: {file} has no model {name}; it has {', '.join(outline.models)}."


def _meet(wanted: str, served: str) -> bool:
    """Tell whether two names, each perhaps with a star at its end, can mean the same model."""
    one, other = wanted.removesuffix("*"), served.removesuffix("*")
    if wanted == one and served == other:
        return one == other
    if wanted == one:
        return one.startswith(other)
    if served == other:
        return other.startswith(one)
    return one.startswith(other) or other.startswith(one)
