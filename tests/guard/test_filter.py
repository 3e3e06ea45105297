"""A text's filter gives what brute force gives, however the text is cut and wherever it ends."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.guard.grammar import ALPHABET, FOLDED, rules
from tests.guard.languages import matches, symbols_of
from tests.guard.outcomes import agree, agree_on_endings, outcome, pieces_of
from tests.guard.planted import RULES, SECRETS, noises, texts
from tests.guard.reference import Found, render

from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import plan_for
from deltaweir.guard.rules import Rule

SIZES = st.lists(st.sampled_from((1, 1, 2, 3, 5, 9, 40)), max_size=40)
ABC = st.text("abc ", min_size=1, max_size=12)
SMALL = st.text(ALPHABET, min_size=1, max_size=12)


def rule(regex: str, name: str = "r", **options: object) -> Rule:
    """Return a rule."""
    return Rule(id=name, regex=regex, **options)  # type: ignore[arg-type]  # as a table has it


@settings(max_examples=180, deadline=None)
@given(texts(), SIZES)
def test_planted_secrets_are_hidden_as_brute_force_hides_them(text: str, sizes: list[int]) -> None:
    """Rules as presets have them; the text whole, by character, and cut anywhere."""
    agree(RULES, text, sizes)


@settings(max_examples=60, deadline=None)
@given(texts())
def test_an_ending_chosen_by_others_gives_nothing_away(text: str) -> None:
    """What a rule could still cover is dropped, at each place where a text can end."""
    agree_on_endings(RULES, text, step=3)


@settings(max_examples=450, deadline=None)
@given(rules(), SMALL, SIZES)
def test_small_rules_do_what_brute_force_does(
    small: tuple[Rule, ...], text: str, sizes: list[int]
) -> None:
    """Any few rules, with edges, actions and labels, on any text, however it is cut."""
    agree(small, text, sizes)
    agree_on_endings(small, text)


@settings(max_examples=300, deadline=None)
@given(rules(folds=True), st.text(FOLDED, min_size=1, max_size=12), SIZES)
def test_folding_rules_see_what_a_text_stands_for(
    small: tuple[Rule, ...], text: str, sizes: list[int]
) -> None:
    """Marks, cases, look-alikes and characters without width hide nothing from it."""
    agree(small, text, sizes)
    agree_on_endings(small, text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=12), ABC, SIZES)
def test_lists_of_literals_hide_each_of_them(words: list[str], text: str, sizes: list[int]) -> None:
    """Literals that are parts of each other, or overlap, are all found."""
    listed = (
        Rule(id="first", literals=tuple(words[::2])),
        Rule(id="second", literals=tuple(words[1::2]) or ("abc",), label="other"),
    )
    agree(listed, text, sizes)
    agree_on_endings(listed, text)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        (
            Rule(id="ip", regex="[0-9.]{7,15}", validator="ip"),
            Rule(id="ip", regex=r"(?<!1)(?:\d{1,3}\.){3}\d{1,3}(?!1)", validator="ip"),
            Rule(id="card", regex=r"\d{12,19}", validator="luhn"),
            Rule(id="card", regex=r"\d(?: ?\d){11,18}\b", validator="luhn", fold=True),
        )
    ),
    st.lists(
        st.sampled_from((*"0123.. ", "10.0.0.", "256", "4111111111", "111111", "\uff14", "\u200b")),
        max_size=10,
    ),
    SIZES,
)
@example(Rule(id="ip", regex="[0-9.]{7,15}", validator="ip"), ["1110.0.0.1"], [])
def test_a_validator_takes_its_pick_of_overlapping_matches(
    checked: Rule, parts: list[str], sizes: list[int]
) -> None:
    """A match that is refused hides none that begins later and is valid."""
    text = "".join(parts)[:30]
    agree((checked,), text, sizes)
    agree_on_endings((checked,), text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SECRETS), noises(), noises(), SIZES)
def test_no_output_ever_holds_a_planted_secret(
    secret: str, before: str, after: str, sizes: list[int]
) -> None:
    """Not a secret between blanks, in any surroundings."""
    text = f"{before} {secret} {after}"
    output = outcome(RULES, pieces_of(text, sizes)).output
    assert secret not in output
    assert "[REDACTED:" in output


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_cut_anywhere_leaves_no_trace(secret: str) -> None:
    """Whoever chooses where a text ends reads nothing of a match that has begun."""
    for end in range(1, len(secret) + 1):
        for pieces in ([f"so: {secret[:end]}"], ["so: ", *secret[:end]]):
            output = outcome(RULES, pieces, cut=True).output
            assert re.fullmatch(r"so: (\[REDACTED:[a-z]+\])?", output)


CASES: dict[str, tuple[tuple[Rule, ...], str, str, list[tuple[str, str, int, int]], str | None]] = {
    "no rule at all": ((), "text", "text", [], None),
    "nothing is found": ((rule("xyz"),), "xyxyyz", "xyxyyz", [], None),
    "one match": ((rule("b+"),), "abbc", "a[REDACTED:r]c", [("r", "redact", 1, 2)], None),
    "its label": (
        (rule("b", label="a letter"),),
        "abc",
        "a[REDACTED:a letter]c",
        [("r", "redact", 1, 1)],
        None,
    ),
    "matches that touch are one": (
        (rule("ab", "x"), rule("cd", "y")),
        "-abcd-",
        "-[REDACTED:x]-",
        [("x", "redact", 1, 2), ("y", "redact", 3, 2)],
        None,
    ),
    "matches that overlap are one": (
        (rule("bc", "y"), rule("ab", "x")),
        "-abc-",
        "-[REDACTED:x]-",
        [("x", "redact", 1, 2), ("y", "redact", 2, 2)],
        None,
    ),
    "what lies between two is kept": (
        (rule("a"),),
        "a-a",
        "[REDACTED:r]-[REDACTED:r]",
        [("r", "redact", 0, 1), ("r", "redact", 2, 1)],
        None,
    ),
    "of two that begin together, the name of the one that ends first": (
        (rule("abc", "long"), rule("ab", "short")),
        "abc",
        "[REDACTED:short]",
        [("long", "redact", 0, 3), ("short", "redact", 0, 2)],
        None,
    ),
    "of two that are alike, the name of the first rule": (
        (rule("a[bc]", "x"), rule("ab", "y")),
        "ab",
        "[REDACTED:x]",
        [("x", "redact", 0, 2), ("y", "redact", 0, 2)],
        None,
    ),
    "of two that are alike, the name of the one that is known first": (
        (rule("ab(?!d)", "x"), rule("ab", "y")),
        "abc",
        "[REDACTED:y]c",
        [("x", "redact", 0, 2), ("y", "redact", 0, 2)],
        None,
    ),
    "a match from further left takes the name": (
        (rule("b", "y"), rule("abc", "x")),
        "abc",
        "[REDACTED:x]",
        [("x", "redact", 0, 3), ("y", "redact", 1, 1)],
        None,
    ),
    "a flag hides nothing": (
        (rule("b", action="flag"),),
        "abc",
        "abc",
        [("r", "flag", 1, 1)],
        None,
    ),
    "a flag runs beside": (
        (rule("bc", "f", action="flag"), rule("ab", "x")),
        "abc",
        "[REDACTED:x]c",
        [("f", "flag", 1, 2), ("x", "redact", 0, 2)],
        None,
    ),
    "a block ends the text before its match": (
        (rule("stop", action="block"),),
        "do stop now",
        "do ",
        [("r", "block", 3, 4)],
        "block",
    ),
    "a truncation likewise": (
        (rule("stop", action="truncate"),),
        "do stop now",
        "do ",
        [("r", "truncate", 3, 4)],
        "truncate",
    ),
    "the first match ends it": (
        (rule("b+", action="block"),),
        "abbb",
        "a",
        [("r", "block", 1, 1)],
        "block",
    ),
    "what was hidden before stays hidden": (
        (rule("a", "x"), rule("c", "y", action="block")),
        "-a-c",
        "-[REDACTED:x]-",
        [("x", "redact", 1, 1), ("y", "block", 3, 1)],
        "block",
    ),
    "what waits behind an older match does not leave": (
        (rule("-a-c-", "x"), rule("c", "y", action="block")),
        "b-a-c-",
        "b",
        [("y", "block", 5 - 1, 1)],
        "block",
    ),
    "a flag is not seen where nothing follows any more": (
        (rule(r"ab\b", "f", action="flag"), rule("ab", "x", action="block")),
        "-ab-",
        "-",
        [("x", "block", 1, 2)],
        "block",
    ),
    "an edge is known one character later": (
        (rule(r"\bab\b", action="block"),),
        "ab cd",
        "",
        [("r", "block", 0, 2)],
        "block",
    ),
    "an edge does not hold": ((rule(r"\bab\b", action="block"),), "abc abc", "abc abc", [], None),
    "an edge is known at the end": (
        (rule(r"ab\b", action="block"),),
        "- ab",
        "- ",
        [("r", "block", 2, 2)],
        "block",
    ),
    "an edge that the end does not fulfil": ((rule("ab(?=c)"),), "ab", "ab", [], None),
    "the strictest of a run": (
        (rule("ab", "x", action="truncate"), rule("b", "y", action="block")),
        "-ab",
        "-",
        [("x", "block", 1, 2), ("y", "block", 2, 1)],
        "block",
    ),
    "a head, and what follows while it does": (
        (rule("http://[^ ]+"),),
        "see http://x.y/z ok",
        "see [REDACTED:r] ok",
        [("r", "redact", 4, 12)],
        None,
    ),
    "a dot is any character": (
        (rule("a.c"),),
        "a\nc",
        "[REDACTED:r]",
        [("r", "redact", 0, 3)],
        None,
    ),
    "a bar stands where a rule would find every word": (
        (rule("[A-Z]{2,8}"),),
        "an ABC",
        "an \u2588\u2588\u2588",
        [("r", "redact", 3, 3)],
        None,
    ),
    "a replacement bears no name that would feed a rule": (
        (rule("a"), rule("[a-z]{1,8}t", "y", label="secret")),
        "a secret",
        "[REDACTED:r] [REDACTED]",
        [("r", "redact", 0, 1), ("y", "redact", 2, 6)],
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_cases_written_out(case: str) -> None:
    """The promises one by one; the reference, the filter and the expectation are three."""
    given_rules, text, output, verdicts, stopped = CASES[case]
    found = agree(given_rules, text)
    assert found.output == output
    assert found.verdicts == tuple(Found(*one) for one in verdicts)
    assert found.stopped == stopped


@pytest.mark.parametrize(
    ("way", "text", "output", "stopped"),
    [
        ("redact", "-xaaab-", "-[REDACTED:r]-", None),
        ("redact", "-xaaa", "-xaaa", None),
        ("redact", "-xaaaa-", "-[REDACTED:r]-", None),
        ("redact", "-xaaaaaaa-", "-[REDACTED:r]-", None),
        ("redact", "-xaaaaaaab-", "-[REDACTED:r]-", None),
        ("redact", "-xaaaa-xb", "-[REDACTED:r]-[REDACTED:r]", None),
        ("block", "-xaaab-", "-[REDACTED:r]-", None),
        ("block", "-xaaaa-", "-", "block"),
        ("release", "-xaaab-", "-[REDACTED:r]-", None),
        ("release", "-xaaaab-", "-xaaaab-", None),
        ("release", "-xaaaaxab-", "-xaaaa[REDACTED:r]-", None),
    ],
)
def test_a_match_that_goes_on_for_too_long(
    way: str, text: str, output: str, stopped: str | None
) -> None:
    """Past `max_hold` characters it is swallowed, or ends the text, or is let go."""
    held = (rule("xa*b", max_hold=4, on_overflow=way),)
    found = agree(held, text)
    assert (found.output, found.stopped) == (output, stopped)
    agree_on_endings(held, text)


def test_what_is_let_go_of_is_one_rule() -> None:
    """Another rule that began at the same character goes on."""
    both = (
        rule("xa*b", "short", max_hold=2, on_overflow="release"),
        rule("xa{5}y", "long"),
    )
    assert agree(both, "-xaaaaay-xaaaaab").output == "-[REDACTED:long]-xaaaaab"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("xa*b", "x[ab]*y", "xa*(?=b)", "(?<!b)x[axb]{3,9}y", "[xa]+y")),
            st.integers(1, 5),
            st.sampled_from(("redact", "block")),
        ),
        min_size=1,
        max_size=2,
    ),
    st.text("xaby", max_size=16),
    SIZES,
)
def test_limits_are_those_of_brute_force(
    limits: list[tuple[str, int, str]], text: str, sizes: list[int]
) -> None:
    """Whatever goes on for too long, beside other rules, and however the text is cut."""
    held = [
        rule(pattern, f"r{number}", max_hold=most, on_overflow=way)
        for number, (pattern, most, way) in enumerate(limits)
    ]
    held.append(rule("a[xb]", "other", label="something else"))
    agree(held, text, sizes)
    agree_on_endings(held, text)


@settings(max_examples=180, deadline=None)
@given(st.text("xab", max_size=20), st.integers(1, 5), SIZES)
@example("xxxxxxxab", 2, [])
def test_nothing_waits_beyond_the_limit(text: str, most: int, sizes: list[int]) -> None:
    """A rule that lets go holds no more than it may, and what it does depends on the text alone."""
    held = (rule("[xa]+b", max_hold=most, on_overflow="release"),)
    whole = outcome(held, [text])
    for pieces in (list(text), pieces_of(text, sizes)):
        assert outcome(held, pieces) == whole
    guard = TextFilter(plan_for(held))
    for character in text:
        guard.feed(character)
        assert guard.position - guard.decided <= most


def test_verdicts_carry_the_names_they_are_given() -> None:
    """Choice, field and where the text began are the caller's."""
    guard = TextFilter(plan_for((rule("b"),)), field="reasoning", choice=3, offset=100)
    guard.feed("abc")
    guard.finish(cut=False)
    assert [one.as_dict() for one in guard.verdicts] == [
        {
            "rule": "r",
            "action": "redact",
            "choice": 3,
            "field": "reasoning",
            "offset": 101,
            "length": 1,
        }
    ]


def test_two_texts_share_a_plan_and_nothing_else() -> None:
    """Interleaved texts do not see each other."""
    one, other = TextFilter(plan_for(RULES)), TextFilter(plan_for(RULES))
    first, second = "mail jane.roe@example.org now", "sk-0123456789abcdef and more"
    output = ["", ""]
    for mine, its in zip(first, second, strict=False):
        output[0] += one.feed(mine)
        output[1] += other.feed(its)
    output[0] += one.feed(first[len(second) :]) + one.finish(cut=False)
    output[1] += other.feed(second[len(first) :]) + other.finish(cut=False)
    assert output == [render(first, RULES).output, render(second, RULES).output]


@settings(max_examples=180, deadline=None)
@given(rules(), SMALL)
def test_the_reference_takes_patterns_apart_rightly(small: tuple[Rule, ...], text: str) -> None:
    """Its matches are those of each pattern as a whole, by `re` alone."""
    for one in small:
        if one.regex is None:
            continue
        plain = {
            (start, end)
            for end in range(len(text) + 1)
            for start in range(end)
            if re.compile(
                f"(?:{one.regex})(?=.{{{len(text) - end}}}\\Z)", re.ASCII | re.DOTALL
            ).match(text, start)
        }
        parted = {(span.start, span.end) for span in matches(symbols_of(text, one), one)}
        assert parted == plain
