"""The parser of patterns describes what Python's own matcher finds, or says why it will not."""

from __future__ import annotations

import itertools
import pickle
import re
import time
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.guard.nodes import ends, spans

from deltaweir.guard.classes import BLANK, WORD, cased, complement, single
from deltaweir.guard.pattern import (
    MOST_CHARACTERS,
    MOST_DEPTH,
    Branch,
    Chars,
    Edge,
    Either,
    PatternError,
    Repeat,
    Series,
    longest,
    parse,
    shortest,
)

_ALPHABET = "aA0\n"
_TEXTS = ["".join(text) for n in range(6) for text in itertools.product(_ALPHABET, repeat=n)]
_FLAGS = re.ASCII | re.DOTALL


def _atoms() -> st.SearchStrategy[str]:
    plain = [
        "a",
        "A",
        "0",
        "b",
        ".",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\S",
        r"\n",
        "-",
        "]",
        "{",
    ]
    numbered = [r"\x61", r"\u0041", r"\U00000030", r"\.", r"\]"]
    classes = ["[aA]", "[^a]", "[0-a]", r"[^\d]", r"[\s0]", "[A-Z-]", "[-0]", r"[^\W0]", "[^^]"]
    return st.sampled_from([*plain, *numbered, *classes])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    heads = st.sampled_from(["(", "(?:", "(?i:"])
    group = st.tuples(heads, st.lists(inner, min_size=1, max_size=3).map("|".join))
    grouped = group.map(lambda parts: f"{parts[0]}{parts[1]})")
    signs = ["?", "*", "+", "??", "*?", "+?", "{0}", "{1}", "{2}", "{0,2}", "{1,}", "{2,3}?"]
    repeated = st.tuples(grouped, st.sampled_from(signs)).map("".join)
    return grouped | repeated | st.lists(inner, max_size=3).map("".join)


_PATTERNS = st.tuples(st.sampled_from(["", "(?i)"]), st.recursive(_atoms(), _larger)).map("".join)


@settings(deadline=None, max_examples=80)
@given(_PATTERNS)
@example("(?:a?)*0|(a{2}|A){1,2}")
@example("(?i)[^a]{2}|(?:)")
@example("(|a)(A||0)?")
def test_the_words_of_a_pattern_are_those_python_matches(pattern: str) -> None:
    """Each text of at most five characters is a word of the nodes exactly if it matches fully."""
    branches = parse(pattern)
    reference = re.compile(pattern, _FLAGS)
    words = {
        text
        for text in _TEXTS
        if any(len(text) in ends(branch.body, text, 0) for branch in branches)
    }
    assert words == {text for text in _TEXTS if reference.fullmatch(text)}
    for word in words:
        assert min(shortest(branch.body) for branch in branches) <= len(word)
    limits = [longest(branch.body) for branch in branches]
    if None not in limits:
        assert all(any(len(word) <= (limit or 0) for limit in limits) for word in words)


def _python_spans(pattern: str, text: str) -> set[tuple[int, int]]:
    found = set()
    for start, end in itertools.combinations(range(len(text) + 1), 2):
        whole = f".{{{start}}}(?:{pattern}).{{{len(text) - end}}}"
        if re.fullmatch(whole, text, _FLAGS):
            found.add((start, end))
    return found


_EDGED = [
    r"\ba+\b",
    r"\Ba+\B",
    r"\b-|a\b",
    r"\B-\B",
    r"\b(?:a|-a)\b",
    r"(?<!a)b|b(?!a)",
    r"(?<=a)b|b(?=a)|-",
    r"(?<![a-])b(?![a-])",
    r"(?<=[^a])b(?=\W)",
    r"(?<!.)a+",
    r"a+(?!.)",
    r"(?<!.)[ab]{2}(?!.)",
    r"(?<=a|b)-(?=a|b)",
    r"(?<=(?:a))-(?=\x62)",
    r"\b(?:a|)b|(?<=a)-",
]
_BESIDE = ["".join(text) for n in range(5) for text in itertools.product("ab-", repeat=n)]


@pytest.mark.parametrize("pattern", _EDGED)
def test_conditions_hold_where_python_finds_them_to_hold(pattern: str) -> None:
    """In all short texts each span matches with its surroundings exactly if Python says so."""
    branches = parse(pattern)
    for text in _BESIDE:
        assert spans(branches, text) == _python_spans(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "before", "after"),
    [
        (r"\ba", Edge("boundary"), None),
        (r"a\B", None, Edge("inside")),
        (r"(?<=\s)a", Edge("look", BLANK, at_end=False), None),
        (r"(?<!\w)a", Edge("look", complement(WORD), at_end=True), None),
        (r"a(?=x)", None, Edge("look", single(ord("x")), at_end=False)),
        (r"a(?!x)", None, Edge("look", complement(single(ord("x"))), at_end=True)),
        (r"(?i)a(?!k)", None, Edge("look", complement(cased(single(ord("k")))), at_end=True)),
        (r"(?<!.)a", Edge("look", (), at_end=True), None),
        (r"\b(?!x)", Edge("boundary"), Edge("look", complement(single(ord("x"))), at_end=True)),
    ],
)
def test_a_condition_becomes_an_edge(pattern: str, before: Edge | None, after: Edge | None) -> None:
    """A condition says which neighbours are allowed, and whether the text's end will do."""
    (branch,) = parse(pattern)
    assert (branch.before, branch.after) == (before, after)


def test_each_top_level_alternative_has_its_own_conditions() -> None:
    """Conditions belong to the alternative they stand in, or to the group they stand around."""
    a, b = Chars(single(ord("a"))), Chars(single(ord("b")))
    boundary = Edge("boundary")
    assert parse(r"\ba|b\b|a") == (
        Branch(boundary, a, None),
        Branch(None, b, boundary),
        Branch(None, a, None),
    )
    (both,) = parse(r"\b(?:aa|b)\b")
    assert both == Branch(boundary, Either((Series((a, a)), b)), boundary)
    assert isinstance(both.body, Either)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("(?i)k", "\u212a", True),
        ("(?i)\u212a", "k", True),
        ("(?i)s", "\u017f", True),
        ("(?i)[a-z]", "\u017f", True),
        ("(?i)[^k]", "\u212a", False),
        ("(?i)[^k]", "x", True),
        (r"(?i)\w", "\u017f", True),
        (r"(?i)\W", "\u017f", False),
        (r"(?i)[^\W]", "\u212a", True),
        (r"(?i)\x6b", "\u212a", True),
        ("(?i)\u03c3", "\u03c2", True),
        ("(?i)[\u03b1-\u03c9]", "\u03a9", True),
        ("(?i:k)", "\u212a", True),
        ("k", "\u212a", False),
        ("k", "K", False),
        (r"\w", "\u017f", False),
        ("(?i:a)b", "AB", False),
        ("(?i:a(?:b))", "AB", True),
        (".", "\n", True),
        (".", "\U0010ffff", True),
        (r"\d", "\u0660", False),
        (r"\s", "\xa0", False),
        (r"\U0001F600", "\U0001f600", True),
    ],
)
def test_characters_are_matched_as_documented(pattern: str, text: str, *, matches: bool) -> None:
    """Case is Unicode's, one character for one; named classes are ASCII; the dot is anything."""
    (branch,) = parse(pattern)
    assert (len(text) in ends(branch.body, text, 0)) is matches


def test_groups_with_names_are_groups() -> None:
    """A name changes nothing about what a group matches."""
    assert parse("(?P<year_1>ab)(?P<_>c?)") == parse("(?:ab)(?:c?)")


def test_lazy_repeats_are_repeats() -> None:
    """The lazy form of a repeat describes the same words."""
    assert parse("a??b*?c+?d{2}?e{2,}?f{2,3}?") == parse("a?b*c+d{2}e{2,}f{2,3}")


REFUSED: list[tuple[str, int, str]] = [
    # parentheses
    ("a(b", 1, "never closed"),
    ("(a(b)", 0, "never closed"),
    ("a)b", 1, "never opened"),
    ("(?:", 0, "never closed"),
    ("(?", 0, "unknown kind"),
    # repeats
    ("*a", 0, "nothing here to repeat"),
    ("a|+", 2, "nothing here to repeat"),
    ("(?:{2})", 3, "nothing here to repeat"),
    (r"\b*", 2, "nothing here to repeat"),
    (r"a\b+", 3, "nothing here to repeat"),
    ("a**", 2, "a repeat of a repeat"),
    ("a???", 3, "a repeat of a repeat"),
    ("a{2}{3}", 4, "a repeat of a repeat"),
    # conditions
    (r"a\bb", 1, "a word boundary stands only"),
    (r"\ba\bb", 3, "a word boundary stands only"),
    (r"a(?:\bb)", 4, "inside a group"),
    (r"(?:a\B)", 4, "inside a group"),
    ("(?:(?!a)b)", 3, "inside a group"),
    ("((?<=a)b)", 1, "inside a group"),
    ("(?!(?=a))", 3, "inside a group"),
    (r"(?!(\b))", 4, "inside a group"),
    (r"(?!\b)", 3, "a word boundary is no character"),
    ("(?=a)b", 0, "a look-ahead stands only at the end"),
    ("c|a(?!a)b", 3, "a look-ahead stands only at the end"),
    ("a(?!b)(c)", 1, "a look-ahead stands only at the end"),
    ("a(?<=a)", 1, "a look-behind stands only at the beginning"),
    ("a(?<!a)b", 1, "a look-behind stands only at the beginning"),
    ("(?=a)(?<=a)", 5, "a look-behind stands only at the beginning"),
    (r"\b(?<=a)b", 2, "only one condition"),
    (r"a\b(?!a)", 3, "only one condition"),
    (r"(?=a)\b", 5, "only one condition"),
    (r"\b\b\b", 4, "only one condition"),
    ("(?<=ab)c", 0, "exactly one character"),
    ("c(?!a?)", 1, "exactly one character"),
    ("c(?=)", 1, "exactly one character"),
    ("c(?=a|bc)", 1, "exactly one character"),
    # anchors
    ("^a", 0, "anchors"),
    ("a$", 1, "anchors"),
    (r"\Aa", 0, "anchors"),
    (r"a\Z", 1, "anchors"),
]


@pytest.mark.parametrize(("pattern", "position", "reason"), REFUSED)
def test_what_is_outside_the_subset_is_refused(pattern: str, position: int, reason: str) -> None:
    """A refusal names the place and the reason."""
    with pytest.raises(PatternError) as caught:
        parse(pattern)
    assert caught.value.position == position
    assert reason in caught.value.reason
    assert str(caught.value) == f"at character {position}: {caught.value.reason}"


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("a{10000}b{10000}c{10000}d{10000}e{10000}f", 40),
        ("(?:a{10000}){6}", 12),
        ("x(a{10000}){1000}", 11),
        ("(?:(?:a{10000}){1000}){2}", 22),
        ("((((a{100}){100}){100}){100}){100}", 29),
        ("b(?:c(ab{300}){300})", 14),
        ("(?:" + "ab" * 25_001 + ")?", 50_006),
        ("a" * 50_001, 50_000),
        ("|".join(["a" * 25_001] * 2), 25_002),
        ("(?:|||||||||||){10000}", 15),
        ("(?:" * 60 + "a" + "{0,3})" * 60, 60 * 3 + 60 * 6 - 5),
    ],
)
def test_a_pattern_too_large_is_refused_at_its_outermost_repeat(
    pattern: str, position: int
) -> None:
    """More than 50,000 characters with repeats multiplied out are refused where it gets so far."""
    with pytest.raises(PatternError) as caught:
        parse(pattern)
    assert "too large" in caught.value.reason
    assert caught.value.position == position


def test_a_pattern_just_small_enough_is_parsed() -> None:
    """Exactly 50,000 characters with repeats multiplied out are not refused."""
    (branch,) = parse("(?:[ab]{1,5}){10000}")
    assert isinstance(branch.body, Repeat)
    assert (shortest(branch.body), longest(branch.body)) == (10_000, 50_000)
    assert longest(parse("a" * 50_000)[0].body) == 50_000
    assert longest(parse("(?:(a{10000}){10000}){0}")[0].body) == 0


def test_a_pattern_too_long_is_refused_unread() -> None:
    """Patterns of more than 100,000 characters are refused whatever they hold."""
    with pytest.raises(PatternError) as caught:
        parse("(" * (MOST_CHARACTERS + 1))
    assert caught.value.position == MOST_CHARACTERS
    assert "100001 characters" in caught.value.reason


def test_groups_may_be_nested_a_hundred_deep() -> None:
    """The hundred and first group within groups is refused, the hundredth is not."""
    assert parse("(" * MOST_DEPTH + "a" + ")" * MOST_DEPTH) == parse("a")
    with pytest.raises(PatternError) as caught:
        parse("a" + "(" * (MOST_DEPTH + 1) + ")" * (MOST_DEPTH + 1))
    assert caught.value.position == 1 + MOST_DEPTH
    assert "100 nested groups" in caught.value.reason


def _parsed(pattern: str) -> tuple[Branch, ...] | None:
    """Return a pattern's branches, or None if it was refused at a place that it has."""
    try:
        return parse(pattern)
    except PatternError as error:
        inside = 0 <= error.position <= len(pattern)
        if not inside:
            raise
        return None


HOSTILE = {
    "open parentheses": "(" * 100_000,
    "open groups that fold": "(?i:" * 25_000,
    "closed parentheses": "(" * 50_000 + ")" * 50_000,
    "a megabyte of one character": "a" * 1_000_000,
    "a megabyte of parentheses": "()" * 500_000,
    "empty groups": "()" * 50_000,
    "empty alternatives": "|" * 100_000,
    "stars": "(" * 90 + "a*" + ")*" * 90,
    "question marks in groups": "(?:" * 100 + "a" + ")?" * 100,
    "deep choices": "(" * 100 + "a" + "?b|c)" * 100,
    "a number of many digits": "a{" + "9" * 99_990 + "}",
    "a number of many zeros": "a{" + "0" * 99_000 + "2}",
    "open classes": "[" * 100_000,
    "one large class": "[" + "ab" * 49_000 + "]",
    "many large classes": "(?i)" + "".join(f"[{chr(0x100 + n)}-\U0001ffff]" for n in range(19_000)),
    "a long name": "(?P<" + "n" * 99_000 + ">a)",
    "backslashes": "\\" * 100_000,
    "hexadecimal": "\\U0010ffff" * 10_000,
    "look-arounds": "(?!" * 30_000,
    "surrogates": "\ud800" * 50_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_patterns_end_in_nodes_or_in_a_refusal_soon(name: str) -> None:
    """Whatever a pattern is, ten seconds of work see its end, and the stack does not overflow."""
    start = time.process_time()
    for branch in _parsed(HOSTILE[name]) or ():
        assert shortest(branch.body) <= 50_000
        assert (longest(branch.body) or 0) <= 50_000
    assert time.process_time() - start < 10


_GARBAGE = st.text("()[]{}|*+?\\^$.-,:<>=!iPbBdDsWxuU019aA", max_size=14)


def _compiled(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # Python announces that it may read some brackets in classes differently one day.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(pattern, _FLAGS)


@settings(deadline=None, max_examples=2000)
@given(_GARBAGE)
def test_garbage_is_refused_or_means_what_it_means_to_python(pattern: str) -> None:
    """No other error than a refusal; and what is not refused, Python reads in the same way."""
    branches = _parsed(pattern)
    if branches is None:
        return
    reference = _compiled(pattern)
    if any(branch.before or branch.after for branch in branches):
        return
    for text in ("", *pattern, "a", "A0", "a-", *itertools.pairwise(pattern)):
        whole = "".join(text)
        words = any(len(whole) in ends(branch.body, whole, 0) for branch in branches)
        assert words == bool(reference.fullmatch(whole)), whole


@settings(max_examples=500)
@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    """A text of any characters ends in nodes or in a refusal inside it, never in another error."""
    assert _parsed(pattern) != ()


def test_a_refusal_survives_pickling() -> None:
    """A refusal from another process still tells its place and reason."""
    error = PatternError(3, "why")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled one line above
    assert (again.position, again.reason, str(again)) == (3, "why", str(error))


@pytest.mark.parametrize("pattern", ["sk-(secret", "secret{2,1}", "(?<secret>a)", r"\bsecret\bs"])
def test_a_refusal_holds_nothing_of_the_pattern(pattern: str) -> None:
    """A pattern may be a secret itself, and so its text is in no message."""
    with pytest.raises(PatternError) as caught:
        parse(pattern)
    assert "secret" not in str(caught.value) + repr(caught.value)
