"""The gateway's configuration file, as all commands find it."""

from __future__ import annotations

from pathlib import Path

DEFAULT = "deltaweir.toml"


def configuration(given: Path | None) -> Path | None:
    """Return the file that is named, or else the one in the working directory, if it is there."""
    if given is not None:
        return given
    default = Path(DEFAULT)
    return default if default.is_file() else None


def ledger_url(given: Path | None) -> str:
    """Return the URL of the ledger; nobody needs for it what a server needs.

    Raises:
        InvalidRequest: The file is not there, or names no ledger.
    """
    # heavy: only these commands pay for it
    from deltaweir.gateway.config import LedgerConfig, ledger_in

    path = configuration(given)
    return (LedgerConfig() if path is None else ledger_in(path)).url


def absolute(url: str) -> str:
    """Return where a ledger lies, from the root on, since commands run in several folders.

    Args:
        url: The ledger's; an empty text, for none, stays one.
    """
    path = url.removeprefix("sqlite:///")
    return path if path in {"", ":memory:"} else str(Path(path).absolute())
