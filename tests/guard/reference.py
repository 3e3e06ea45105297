"""What a guard must make of a text, by brute force: every match of every rule, then its words.

Written from the design alone; quadratic and worse, and in no way clever. Time is counted in
characters: at time `p` the first `p` characters are known, at `len(text) + 1` also that no more
will come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from tests.guard.languages import Symbols, lives, matches, symbols_of

from deltaweir.guard.rules import Rule

_STRICTEST = ("flag", "redact", "truncate", "block")
_ENDING = {"truncate", "block"}


class Found(NamedTuple):
    """A verdict without the names of choice and field."""

    rule: str
    action: str
    offset: int
    length: int


class Reference(NamedTuple):
    """What a guard must give, say and do; `hidden` are the places that are not shown."""

    output: str
    verdicts: tuple[Found, ...]
    stopped: str | None
    hidden: frozenset[int]


class Match(NamedTuple):
    """A match in characters, and from when on it is known; `order` is its rule's."""

    start: int
    end: int
    order: int
    known: int
    action: str


class Run(NamedTuple):
    """A maximal run of touching matches."""

    start: int
    end: int
    matches: tuple[Match, ...]

    @property
    def action(self) -> str:
        """The strictest action of its matches."""
        return max((match.action for match in self.matches), key=_STRICTEST.index)

    def first(self) -> int:
        """Return the order of the rule that begins first; of several, that is known first."""
        names = ((one.start, one.known, one.end, one.order) for one in self.matches)
        return min(names)[3]


class _Watched:
    """One rule over one text."""

    def __init__(self, text: str, rule: Rule, order: int) -> None:
        self.rule = rule
        self.order = order
        self.action = rule.action or "redact"
        symbols = symbols_of(text, rule)
        self.matches = [*_in_characters(symbols, rule, order, self.action, len(text))]
        self._lives: dict[int, int] = {}
        for at, ends in enumerate(lives(symbols, rule)):
            start = symbols.sources[at]
            over = len(text) + 1 if ends > len(symbols.text) else symbols.known_at(ends)
            self._lives[start] = max(over, self._lives.get(start, 0))

    def drop(self, start: int, now: int) -> None:
        """Forget what has begun at a character and is not known to match by now."""
        self._lives[start] = 0
        self.matches = [one for one in self.matches if one.start != start or one.known <= now]

    def alive(self, now: int) -> list[int]:
        """Return where beginnings of matches stand, the first first."""
        return sorted(start for start, over in self._lives.items() if start < now < over)


def _in_characters(
    symbols: Symbols, rule: Rule, order: int, action: str, size: int
) -> Iterator[Match]:
    for start, end, pending in matches(symbols, rule):
        known = until = symbols.known_at(end)
        if pending and end == len(symbols.text):
            known, until = size + 1, size
        elif pending:
            # what is skipped between a match and the neighbour it waits for is part of it
            known, until = symbols.known_at(end + 1), max(until, symbols.sources[end])
        yield Match(symbols.sources[start], until, order, known, action)


def render(text: str, rules: Sequence[Rule], *, cut: bool = False) -> Reference:
    """Return what leaves of a text, the verdicts on it, and the action that stopped it.

    Args:
        text: The whole text.
        rules: All of one scope, in their order.
        cut: Whether somebody else chose where it ends.
    """
    watched = [_Watched(text, rule, order) for order, rule in enumerate(rules)]
    hiding = [one for one in watched if one.action != "flag"]
    extra: list[Match] = []
    stopped, now = None, 0
    for now in _times(hiding, len(text) + (0 if cut else 1)):
        stopped = _stop(_known(hiding, extra, now))
        if stopped is None:
            extra += [*_overflowing(hiding, extra, now)]
            stopped = _stop(_known(hiding, extra, now))
        if stopped is not None:
            break
    found = _known(hiding, extra, now)
    whole = stopped is None and not cut
    upto = len(text) if whole else _decided(hiding, found, min(now, len(text)), now)
    output, hidden = _shown(text, runs_of(found), rules, upto)
    if stopped is not None:
        output, hidden = _stopped(text, hiding, extra, rules, now)
    verdicts = [*_verdicts(runs_of(found), rules)]
    flagging = [one for one in watched if one.action == "flag"]
    verdicts += _verdicts(runs_of(_known(flagging, [], now)), rules)
    return Reference(output, tuple(sorted(verdicts)), stopped, hidden)


def decided(text: str, rules: Sequence[Rule]) -> int:
    """Return how much of a text is decided while more may come."""
    watched = [_Watched(text, rule, order) for order, rule in enumerate(rules)]
    hiding = [one for one in watched if one.action != "flag"]
    return _decided(hiding, _known(hiding, [], len(text)), len(text), len(text))


def _stopped(
    text: str, hiding: list[_Watched], extra: list[Match], rules: Sequence[Rule], now: int
) -> tuple[str, frozenset[int]]:
    """Return what had left of a text before it was stopped, and what is free ahead of the run.

    A replacement that had left before the run grew over it stays.
    """
    before, found = _known(hiding, extra, now - 1), _known(hiding, extra, now)
    had_left = _decided(hiding, before, now - 1, now - 1)
    fired = next(run for run in runs_of(found) if run.action in _ENDING)
    came = min(now, len(text))  # the end lets nothing go that was held until then
    upto = min(fired.start, _decided(hiding, found, came, came))
    if upto > had_left:
        return _shown(text, runs_of(found), rules, upto)
    return _shown(text, runs_of(before), rules, had_left)


def _times(hiding: list[_Watched], last: int) -> list[int]:
    """Return the times at which something may happen, with the last."""
    if any(one.rule.max_hold is not None for one in hiding):
        return [*range(1, last + 1)]
    times = {match.known for one in hiding for match in one.matches if match.known <= last}
    return sorted(times | {last})


def _known(watched: list[_Watched], extra: list[Match], now: int) -> list[Match]:
    found = (match for one in watched for match in one.matches)
    return [match for match in [*found, *extra] if match.known <= now]


def _stop(found: list[Match]) -> str | None:
    actions = {match.action for match in found} & _ENDING
    return max(actions, key=_STRICTEST.index) if actions else None


def _decided(hiding: list[_Watched], found: list[Match], size: int, now: int) -> int:
    """Return the first position that some continuation could still cover and nothing does yet."""
    starts = [start for one in hiding for start in one.alive(now)]
    covered = {at for match in found for at in range(match.start, match.end)}
    return next((at for at in range(min(starts, default=size), size) if at not in covered), size)


def _overflowing(hiding: list[_Watched], extra: list[Match], now: int) -> Iterator[Match]:
    """Yield what becomes covered since a beginning went on for too long; drop what may go."""
    covered = max((match.end for match in _known(hiding, extra, now)), default=0)
    for one in hiding:
        limit, way = one.rule.max_hold, one.rule.on_overflow
        swallowed = {match.start for match in extra if match.order == one.order}
        for start in one.alive(now):
            over = limit is not None and now - max(start, covered) > limit
            if over and way == "release":
                one.drop(start, now)
            elif over or start in swallowed:
                action = "block" if way == "block" else one.action
                yield Match(start, now, one.order, now, action)


def runs_of(found: Sequence[Match]) -> list[Run]:
    """Return the maximal runs of matches; two that touch are one."""
    runs: list[Run] = []
    for match in sorted(found):
        if runs and match.start <= runs[-1].end:
            start, end, ours = runs.pop()
            runs.append(Run(start, max(end, match.end), (*ours, match)))
        else:
            runs.append(Run(match.start, match.end, (match,)))
    return runs


def _shown(
    text: str, runs: list[Run], rules: Sequence[Rule], upto: int
) -> tuple[str, frozenset[int]]:
    """Return a text's first part with its runs replaced, and the places that are not in it."""
    pieces: list[str] = []
    hidden = {*range(upto, len(text))}
    at = 0
    for run in runs:
        if run.start >= upto:
            break
        pieces += [text[at : run.start], _replacement(rules, run.first())]
        hidden |= {*range(run.start, run.end)}
        at = run.end
    return "".join([*pieces, text[at:upto]]), frozenset(hidden)


def _replacement(rules: Sequence[Rule], order: int) -> str:
    """Return what stands for a run: the first form in which no rule would find anything."""
    hiding = [msgspec.structs.replace(one, validator=None) for one in rules if one.action != "flag"]
    forms = (f"[REDACTED:{rules[order].label or rules[order].id}]", "[REDACTED]", "\u2588" * 3)
    for form in forms:
        if not any(True for one in hiding for _ in matches(symbols_of(form, one), one)):
            return form
    raise AssertionError(forms)


def _verdicts(runs: list[Run], rules: Sequence[Rule]) -> Iterator[Found]:
    for run in runs:
        for order in {match.order for match in run.matches}:
            ours = [match for match in run.matches if match.order == order]
            start = min(match.start for match in ours)
            length = max(match.end for match in ours) - start
            yield Found(rules[order].id, run.action, start, length)
