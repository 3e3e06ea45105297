"""Hostile rules and hostile texts: refused, or linear in time and bounded in memory.

Time is asserted by what it is made of: how many states and threads there are, and that they
grow no more as a text goes on. Seconds would say more about the machine than about the code.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard.outcomes import agree, agree_on_endings, outcome
from tests.guard.planted import RULES, SECRETS
from tests.guard.reference import render

from deltaweir.errors import InvalidRule
from deltaweir.guard import automaton as automaton_module
from deltaweir.guard.automaton import LONGEST_TEXT, Automaton
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import Plan, plan_for
from deltaweir.guard.rules import Rule
from deltaweir.guard.verdicts import MOST_VERDICTS

MILLION = 1_000_000
LONGEST_MATCH = 120
"""No rule of `RULES` needs more characters, nor looks back to more."""


def plan_of(regex: str, max_hold: int | None = None) -> Plan:
    """Return a plan of one rule, made anew."""
    return Plan([Rule(id="r", regex=regex, max_hold=max_hold)])


def automaton_of(plan: Plan) -> Automaton:
    """Return a plan's automaton."""
    assert plan.automaton is not None
    return plan.automaton


def held(automaton: Automaton) -> tuple[int, int]:
    """Return what an automaton has in memory: places and moves, and pieces of text."""
    states = [*automaton._states.values()]
    places = sum(sum(map(len, state.groups)) + 1 for state in states)
    moves = sum(len(state.by_character) for state in states)
    pieces = [piece for state in states for piece in state.by_text]
    assert max(map(len, pieces), default=0) <= LONGEST_TEXT
    return places + moves + len(automaton._characters), len(pieces)


@pytest.mark.parametrize(
    "regex",
    [
        "(a*)*b",
        "(a|a)*b",
        "(a+)+b",
        "(a|aa)+b",
        "(a|b|ab)*c",
        "(.*)*x",
        "(.*)(.*)(.*)(.*)x",
        "([a-z]+)*[0-9]",
        "(a+b?)+c",
        r"aa*\b",
    ],
)
def test_nested_repeats_are_refused_or_need_few_states(regex: str) -> None:
    """A language that could hold a text for ever needs a limit, and then stays small."""
    with pytest.raises(InvalidRule) as refusal:
        plan_of(regex)
    assert refusal.value.rule == "r"
    plan = plan_of(regex, max_hold=30)
    automaton = automaton_of(plan)
    guard = TextFilter(plan)
    remembered = []
    for _ in range(20):
        guard.feed("a" * 500)
        remembered.append(automaton.remembered)
        assert len(guard._starts) <= len(automaton.nfa.steps)
        assert len(guard._kept) <= 31
    assert remembered[1:] == remembered[1:2] * 19
    assert automaton.remembered < 200


@pytest.mark.parametrize(
    ("regex", "threads"),
    [
        ("(a{1,20}){1,20}b", 400),
        ("(a?){30}a{30}b", 60),
        ("(a|aa|aaa){1,20}b", 60),
        ("((a{0,5}b?){0,5}c?){0,5}d", 125),
    ],
)
def test_bounded_repeats_have_as_many_threads_as_their_longest_match(
    regex: str, threads: int
) -> None:
    """Where backtracking would take for ever, a character costs no more than its threads."""
    plan = plan_of(regex)
    automaton = automaton_of(plan)
    guard = TextFilter(plan)
    shown = guard.feed("a" * 3 * threads)
    remembered = automaton.remembered
    shown += guard.feed("a" * 2000)
    assert len(guard._starts) == threads
    assert guard.position - guard.decided == threads
    assert automaton.remembered == remembered
    assert shown + guard.feed("-") == "a" * (3 * threads + 2000) + "-"


@pytest.mark.parametrize(
    "regex",
    [
        "((a{1,100}){1,100}){1,100}b",
        "(" * 50_000 + "a" + ")" * 50_000,
        "(" * 50_000,
        "[" * 50_000,
        "a" * 60_000,
        "a{10001}",
        "a{2,1}",
        "(?:a|" * 5_000 + "b" + ")" * 5_000,
        "(a)\\1",
        "(?>a+)b",
        "a++b",
        "\ud800(",
    ],
)
def test_hostile_patterns_are_refused_by_name(regex: str) -> None:
    """Too large, too deep or not of our kind: a typed error, that does not tell the pattern."""
    with pytest.raises(InvalidRule) as refusal:
        plan_of(regex)
    assert refusal.value.rule == "r"
    assert regex not in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("almost", "size"),
    [
        ("-----BEGIN RSA ", MILLION),
        ("https://me:secre", MILLION),
        ("Rumpelstil", MILLION),
        ("Password: ", 200_000),
        ("jane.roe@", 100_000),
        ("sk-0123456789", 100_000),
        ("GB82 WEST ", 20_000),
        ("1.2.3.", 100_000),
        ("00:1a:2b:3c:4d:", 100_000),
    ],
)
def test_a_million_almost_matches_leave_nothing_behind(almost: str, size: int) -> None:
    """What is kept, followed and remembered is the same after a tenth of it as after all of it."""
    plan = Plan(RULES)
    automaton = automaton_of(plan)
    piece = almost * (size // 20 // len(almost))
    guard = TextFilter(plan)
    remembered, shown = [], 0
    for _ in range(20):
        shown += len(guard.feed(piece))
        remembered.append(automaton.remembered)
        assert len(guard._kept) <= 2 * LONGEST_MATCH
        assert len(guard._starts) <= LONGEST_MATCH
        assert len(guard._runs) <= 1
    assert remembered[1:] == remembered[1:2] * 19
    assert shown + len(guard.finish(cut=False)) >= guard.position - guard.withheld
    assert guard.decided == guard.position == 20 * len(piece)


@pytest.mark.parametrize(
    "letter", ["a", "7", "A", "-", "/", "\u00e9", "\u200b", "\U0001f600", "\0"]
)
def test_a_word_of_a_hundred_thousand_characters(letter: str) -> None:
    """It passes through unharmed, and what is held of it is no more than a match can be long."""
    guard = TextFilter(Plan(RULES))
    shown = "".join(guard.feed(letter * 1000) for _ in range(100))
    assert guard.position - guard.decided <= LONGEST_MATCH
    assert shown + guard.finish(cut=False) == letter * 100_000


def test_a_match_without_end_is_swallowed() -> None:
    """What goes on for two hundred thousand characters keeps no text and is one find."""
    guard = TextFilter(Plan(RULES))
    shown = guard.feed("see https://me:secret@")
    for _ in range(20):
        shown += guard.feed("x" * 10_000)
        assert len(guard._kept) <= 2 * LONGEST_MATCH
    shown += guard.feed(" ok") + guard.finish(cut=False)
    assert shown == "see [REDACTED:link] ok"
    assert [one.length for one in guard.verdicts] == [18 + 200_000]


def test_matches_over_their_limit_without_number() -> None:
    """Those that have ended are forgotten."""
    guard = TextFilter(plan_of("xa*b", max_hold=2))
    for _ in range(1000):
        assert guard.feed("xaaaa-") == "[REDACTED:r]-"
        assert len(guard._swallowing) <= 1
        assert len(guard._kept) <= 6


def test_finds_without_number() -> None:
    """All are hidden, and as many are told as may be."""
    guard = TextFilter(plan_of("x"))
    shown = "".join(guard.feed("x " * 100) for _ in range(100)) + guard.finish(cut=False)
    assert shown == "[REDACTED:r] " * 10_000
    assert len(guard.verdicts) == MOST_VERDICTS
    assert guard.withheld == 10_000


def attacks(chance: random.Random) -> Iterator[str]:
    """Yield pieces that make as many states, moves and pieces to remember as they can."""
    while True:
        yield "".join(chance.choices("AB12 ", k=chance.randint(1, LONGEST_TEXT)))
        yield "".join(chance.choices("0123456789 -", k=chance.randint(1, 8)))
        yield "".join(map(chr, chance.choices(range(sys.maxunicode + 1), k=chance.randint(1, 40))))
        yield chance.choice(SECRETS)[: chance.randint(1, 30)]


@pytest.mark.parametrize(("most", "seed"), [(1500, 1), (1500, 2), (10**6, 3)])
def test_an_attacker_cannot_fill_the_memory(
    most: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered stays under its caps, and forgetting it changes nothing."""
    chance = random.Random(seed)  # noqa: S311  # repeatable
    attack = attacks(chance)
    pieces = [next(attack) for _ in range(1500)]
    freely = outcome(RULES, pieces)
    monkeypatch.setattr(automaton_module, "MOST_REMEMBERED", most)
    monkeypatch.setattr(automaton_module, "MOST_TEXTS", 50)
    plan = Plan(RULES)
    automaton = automaton_of(plan)
    guard = TextFilter(plan)
    shown, forgotten, before, texts = "", 0, 0, 0
    for piece in pieces:
        shown += guard.feed(piece)
        forgotten += automaton.remembered < before or automaton._texts < texts
        before = automaton.remembered
        places, texts = held(automaton)
        # a state is made before it is counted, and a piece goes on from it
        assert places <= most + 500
        assert texts <= 51
    assert forgotten > 5
    assert shown + guard.finish(cut=False) == freely.output


def test_many_plans_do_not_add_up() -> None:
    """Plans that nobody uses are let go of."""
    for number in range(300):
        plan_for((Rule(id="r", literals=(f"word {number}",)),))
    kept = plan_for.cache_info()
    assert kept.maxsize is not None
    assert kept.currsize <= kept.maxsize <= 1000


ODD = (
    *("\0", "\x7f", "\x80", "\ud800", "\udbff", "\udc00", "\udfff", "\ufeff", "\ufffd", "\uffff"),
    *("\u200b", "\u200d", "\u202e", "\u2028", "\u0301", "\u0345", "\u0130", "\u0131", "\u017f"),
    *("\u212a", "\u1e9e", "\u00df", "\ufb03", "\ufdfa", "\u0f77", "\uac00", "\u115f", "\u3164"),
    *("\U0001f468", "\U0001f3fb", "\U000e0041", "\U000e0001", "\U0010ffff", "\U0001d400", "\u2100"),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from((*ODD, "a", "s", "@", "1")) | st.characters(), max_size=12))
def test_odd_characters_pass_and_hide_nothing(characters: list[str]) -> None:
    """Lone surrogates, NUL, astral and combining characters, among rules that fold and do not."""
    text = "".join(characters)
    odd = (
        Rule(id="plain", regex=r"s[^a]{0,2}a|\b1|@\B"),
        Rule(id="wide", regex="[\ud800-\udfff]|[\U0001f000-\U0010ffff]a"),
        Rule(id="folds", literals=("ass", "1a", "ffi"), fold=True),
        Rule(id="literal", literals=("\ud800\udc00", "\0a"), label="odd"),
    )
    agree(odd, text)
    agree_on_endings(odd, text)


@pytest.mark.parametrize("odd", ODD, ids=[f"U+{ord(one):04X}" for one in ODD])
def test_a_secret_between_odd_characters(odd: str) -> None:
    """They neither hide a secret nor come to harm."""
    for secret in SECRETS[:4]:
        text = f"{odd} {secret} {odd}"
        wanted = render(text, RULES)
        assert outcome(RULES, [*text]) == outcome(RULES, [text]) == wanted
        assert secret not in wanted.output
        assert wanted.output.count(odd) == 2
