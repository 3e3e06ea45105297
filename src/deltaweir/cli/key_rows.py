"""Keys as people and programs read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaweir.cli.folding import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deltaweir.allowances import KeyRecord, KeyTerms

TITLES = ("id", "name", "state", "limits", "used", "expires")
_WIDE_COLUMNS = 100
_NARROW_COLUMNS = 64
"""On fewer, cells would break within their words."""


def limits(terms: KeyTerms) -> list[str]:
    """Return all that limits a key, each in some words."""
    said = [str(quota) for quota in terms.quotas]
    said += _rates(terms)
    if terms.expires is not None:
        said.append(f"expires {moment(terms.expires)}")
    return said


def _rates(terms: KeyTerms) -> list[str]:
    said = []
    if terms.rpm is not None:
        said.append(f"{terms.rpm} rpm")
    if terms.tpm is not None:
        said.append(f"{terms.tpm} tpm")
    if terms.models:
        said.append(f"models {' '.join(terms.models)}")
    if terms.admin:
        said.append("admin")
    if terms.may_record:
        said.append("may record")
    return said


def cells(record: KeyRecord, spent: Sequence[int], *, now: float, part: str) -> list[str]:
    """Return a key's cells, one for each of `TITLES`.

    Args:
        record: The key.
        spent: What is used of each of its budgets.
        now: Seconds since 1970.
        part: What stands between several things in one cell.
    """
    from deltaweir.allowances import shown

    terms = record.terms
    used = [
        f"{shown(amount, quota.unit)} of {quota}"
        for quota, amount in zip(terms.quotas, spent, strict=True)
    ]
    return [
        record.id,
        record.name,
        record.state(now),
        part.join(_rates(terms)) or "-",
        part.join(used) or "-",
        moment(terms.expires),
    ]


def as_dict(record: KeyRecord, spent: Sequence[int], *, now: float) -> dict[str, Any]:
    """Return a key as JSON has it; times are seconds since 1970, money is in US dollars."""
    from deltaweir.meter.prices import usd

    def figure(amount: int, unit: str) -> float:
        return usd(amount) if unit == "pico" else amount

    terms = record.terms
    return {
        "id": record.id,
        "name": record.name,
        "state": record.state(now),
        "admin": terms.admin,
        "may_record": terms.may_record,
        "models": list(terms.models),
        "rpm": terms.rpm,
        "tpm": terms.tpm,
        "budgets": [
            {
                "unit": "usd" if quota.unit == "pico" else "tokens",
                "period": quota.period,
                "limit": figure(quota.amount, quota.unit),
                "used": figure(amount, quota.unit),
            }
            for quota, amount in zip(terms.quotas, spent, strict=True)
        ],
        "created": record.created,
        "expires": terms.expires,
        "revoked": record.revoked,
    }


def table(rows: Iterable[Sequence[str]]) -> None:
    """Write rows of cells for people; a cell that finds no room breaks.

    Columns in which no row has anything are left out, so that the others have their room. On a
    narrow terminal a key's cells stand below each other.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    lines = [[*row] for row in rows]
    if console.width < _NARROW_COLUMNS:
        for row in lines:
            console.print(_plain(folded(_below(row), console.width)), soft_wrap=True)
        return
    if console.width < _WIDE_COLUMNS:
        for row in lines:  # a date above its time, so that budgets stay in one line
            row[-1] = row[-1].replace(" ", "\n", 1)
    kept = [place for place in range(len(TITLES)) if any(row[place] != "-" for row in lines)]
    for title in (TITLES[place] for place in kept):
        drawn.add_column(title, overflow="fold", no_wrap=title in {"id", "state"})
    for row in lines:
        drawn.add_row(*(_plain(row[place]) for place in kept))
    console.print(drawn)


def _below(row: Sequence[str]) -> str:
    """Return a key's cells in lines of their own: whose it is, and what holds for it."""
    key_id, name, state, limits, used, expires = row
    lines = [key_id, *limits.split("\n"), *used.split("\n")]
    lines += [f"expires {expires}"] if expires != "-" else []
    return "\n".join([f"{name}, {state}", *(f"  {line}" for line in lines if line != "-")])


def _plain(text: str) -> Any:
    from rich.text import Text  # so that a name's brackets are no markup

    return Text(text)


def moment(seconds: float | None) -> str:
    """Return a time as people write it, in UTC; a dash for none."""
    from datetime import UTC, datetime

    if seconds is None:
        return "-"
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
