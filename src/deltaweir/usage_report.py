"""What a report of a ledger adds up: a `Line` for each group of streams. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from deltaweir.accounts import PICODOLLARS
from deltaweir.errors import InvalidRequest

Group = Literal["day", "hour", "minute", "model", "upstream", "key", "user", "tag"]

GROUPS: tuple[Group, ...] = (
    "day",
    "hour",
    "minute",
    "model",
    "upstream",
    "key",
    "user",
    "tag",
)
"""What lines of a report can be grouped by, in the order of a line's fields."""

SPAN = re.compile(r"(?P<number>\d{1,6})(?P<unit>[mhdw])", re.ASCII)
"""A length of time, such as 90m, 12h, 30d or 4w."""
SPAN_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
"""The seconds of each unit of such a length."""

_SECONDS = re.compile(r"\d{9,11}(\.\d+)?", re.ASCII)  # a date without hyphens has eight digits


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report: the streams of one group, added up.

    Attributes:
        day: The day on which they began, in UTC, as 2026-11-24; None where lines are not grouped
            by it. So with ``hour``, as 2026-11-24T13, ``minute``, as 2026-11-24T13:05, and with
            ``model``, ``upstream`` (who was asked last), ``key``, ``user`` and ``tag``, which are
            None as well where there is none.
        streams: How many streams.
        prompt_tokens: Their prompts' tokens, as far as known.
        completion_tokens: The tokens they generated, as far as known.
        cost_pico: What those with a known cost cost, in picodollars; None when there are none.
        unpriced: How many have no known cost.
        failed: How many have failed.
    """

    day: str | None = None
    hour: str | None = None
    minute: str | None = None
    model: str | None = None
    upstream: str | None = None
    key: str | None = None
    user: str | None = None
    tag: str | None = None
    streams: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_pico: int | None = None
    unpriced: int = 0
    failed: int = 0

    @property
    def cost_usd(self) -> float | None:
        """The known cost in US dollars; None when no stream here has one."""
        return None if self.cost_pico is None else self.cost_pico / PICODOLLARS


def day_of(moment: float) -> str:
    """Return the day in UTC, as 2026-11-24, of a time in seconds since 1970."""
    return datetime.fromtimestamp(int(moment), tz=UTC).date().isoformat()


def minute_of(moment: float) -> str:
    """Return the minute in UTC, as 2026-11-24T13:05, of a time in seconds since 1970."""
    return datetime.fromtimestamp(int(moment), tz=UTC).strftime("%Y-%m-%dT%H:%M")


def hour_of(moment: float) -> str:
    """Return the hour in UTC, as 2026-11-24T13, of a time in seconds since 1970."""
    return datetime.fromtimestamp(int(moment), tz=UTC).strftime("%Y-%m-%dT%H")


def moment_of(text: str | None, *, param: str, now: float | None = None) -> float | None:
    """Return a time in seconds since 1970; None for none.

    Args:
        text: An ISO 8601 date or time, in UTC unless it says otherwise, or seconds since 1970;
            or, where it is told what time it is, how long ago, such as 7d or 12h.
        param: What it is called, for the error.
        now: Seconds since 1970.

    Raises:
        InvalidRequest: It is neither.
    """
    if not text:
        return None
    if now is not None and (span := SPAN.fullmatch(text)):
        return _ago(int(span["number"]), span["unit"], now)
    try:
        if _SECONDS.fullmatch(text):
            return float(text)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        ago = "" if now is None else "a time ago such as 7d or 12h, "
        raise InvalidRequest(
            f"got {param} = {text[:40]!r}, expected a date such as 2026-11-24, {ago}or seconds "
            "since 1970",
            param=param,
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ago(number: int, unit: str, now: float) -> float:
    """Return the beginning of the minute, hour or day that was so long ago.

    The first line of a report is of a whole one then, and not of some of its hours.
    """
    whole = min(SPAN_S[unit], SPAN_S["d"])
    return float((now - number * SPAN_S[unit]) // whole * whole)


def grouping(names: Sequence[str]) -> tuple[Group, ...]:
    """Return the groups of these names, each once, in the order of a line's fields.

    Raises:
        InvalidRequest: A name is no group; the message names those that are.
    """
    for name in names:
        if name not in GROUPS:
            raise InvalidRequest(
                f"group_by has {name!r}; known are {', '.join(GROUPS)}", param="group_by"
            )
    return tuple(group for group in GROUPS if group in names)


def total(lines: Iterable[Line]) -> Line:
    """Return the sum of all lines, as a line without groups."""
    streams = prompt = completion = unpriced = failed = 0
    cost: int | None = None
    for line in lines:
        streams += line.streams
        prompt += line.prompt_tokens
        completion += line.completion_tokens
        unpriced += line.unpriced
        failed += line.failed
        if line.cost_pico is not None:
            cost = (cost or 0) + line.cost_pico
    return Line(
        streams=streams,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_pico=cost,
        unpriced=unpriced,
        failed=failed,
    )


def report(lines: Sequence[Line], names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what ``GET /v1/usage`` answers: the lines as ``data``, their sum as ``total``.

    ``total`` has no groups. ``cost_usd`` sums the known costs, and is null when none is known;
    ``unpriced`` says of how many streams it is not.

    Args:
        lines: The lines.
        names: What keys are called, by their ids, for ``key_name``; None leaves that out.
    """
    return {
        "data": [
            {group: getattr(line, group) for group in GROUPS}
            | ({} if names is None else {"key_name": names.get(line.key or "")})
            | _figures(line)
            for line in lines
        ],
        "total": _figures(total(lines)),
    }


def _figures(line: Line) -> dict[str, Any]:
    return {
        "streams": line.streams,
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.completion_tokens,
        "cost_usd": line.cost_usd,
        "unpriced": line.unpriced,
        "failed": line.failed,
    }
