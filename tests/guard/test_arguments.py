"""No spelling of a tool call's arguments hides a match, however they are cut."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.guard.arguments import ArgumentsFilter
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.json_text import Decoder
from deltaweir.guard.plan import Plan, plan_for
from deltaweir.guard.rules import Action, Rule
from deltaweir.guard.runs import MOST_RANGES
from deltaweir.guard.verdicts import MOST_VERDICTS, Verdict

CARD = "4111111111111111"
SECRETS = ("secret", CARD, 'z"b\\c/\n', "\U0001f600\u00e9!")
HIDDEN = "[REDACTED:words]"
MATCH = re.compile(f"(?:{'|'.join(map(re.escape, SECRETS))})+")


def plan(*literals: str, action: Action = "redact", regex: str | None = None) -> Plan:
    """Make the plan of one rule."""
    words = None if regex else literals or SECRETS
    return plan_for((Rule(id="words", literals=words, regex=regex, action=action),))


def filtered(
    pieces: Sequence[str], rules: Plan | None = None, *, cut: bool = False
) -> tuple[str, ArgumentsFilter]:
    """Send pieces through a filter; return what leaves, and the filter."""
    arguments = ArgumentsFilter(rules or plan(), field="tool_calls[0]")
    out = "".join([*map(arguments.feed, pieces)])
    return out + arguments.finish(cut=cut), arguments


def cuts_of(text: str, cuts: Sequence[int]) -> list[str]:
    """Cut a text at places."""
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[start:end] for start, end in itertools.pairwise(borders)]


def pairs(members: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """Keep an object as its members: replacements may make two keys alike."""
    return tuple(members)


def spell(value: Any, chance: random.Random) -> str:
    """Write a value as JSON, each character of its strings in a spelling of its own."""
    blank = chance.choice(["", "", " ", "\n\t"])
    if isinstance(value, str):
        return f'{blank}"{"".join(spell_character(one, chance) for one in value)}"{blank}'
    if isinstance(value, tuple):
        members = [f"{spell(key, chance)}:{spell(inner, chance)}" for key, inner in value]
        return f"{blank}{{{','.join(members)}}}{blank}"
    if isinstance(value, list):
        return f"{blank}[{','.join(spell(inner, chance) for inner in value)}]{blank}"
    return f"{blank}{json.dumps(value)}{blank}"


def spell_character(character: str, chance: random.Random) -> str:
    """Write a character of a string: as itself where it may, or as an escape."""
    escapes = [json.dumps(character)[1:-1]]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escapes.append("".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)))
    escapes.append(escapes[-1].upper().replace("U", "u"))
    if character == "/":
        escapes.append(r"\/")
    if character >= " " and character not in '"\\' and chance.random() < 0.7:
        return character
    return chance.choice(escapes)


def without_secrets(value: Any) -> Any:
    """Return a value as it should be read from what leaves."""
    if isinstance(value, str):
        return MATCH.sub(HIDDEN, value)
    if isinstance(value, tuple):
        return tuple((without_secrets(key), without_secrets(inner)) for key, inner in value)
    if isinstance(value, list):
        return [*map(without_secrets, value)]
    return HIDDEN if value == int(CARD) else value


FRAGMENTS = st.one_of(
    st.sampled_from(SECRETS),
    st.sampled_from([secret[:-1] for secret in SECRETS] + [secret[1:] for secret in SECRETS]),
    st.text(max_size=3),
    st.sampled_from([r"\u0073ecret", "\\", '"', "\ud83d", "\ude00", "\x00", "\uffff", "{'s': "]),
)
# two halves of a pair that stand side by side are one character to every reader
STRINGS = st.lists(FRAGMENTS, max_size=6).map(
    lambda parts: "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
)
SCALARS = st.one_of(STRINGS, st.sampled_from([0, -1, 1.5e30, int(CARD), True, False, None]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(STRINGS, inner), max_size=4).map(tuple),
    ),
    max_leaves=12,
)
CUTS = st.lists(st.integers(0, 400), max_size=12)


@given(VALUES, st.randoms(use_true_random=False), CUTS)
def test_json_stays_json_without_secrets(
    value: Any, chance: random.Random, cuts: list[int]
) -> None:
    """Whatever the spelling and the cuts, a reader gets the value with its secrets replaced."""
    raw = spell(value, chance)
    assert json.loads(raw, object_pairs_hook=pairs) == value
    out, whole = filtered([raw])
    for pieces in (cuts_of(raw, cuts), [*raw]):
        again, arguments = filtered(pieces)
        assert again == out
        assert arguments.verdicts == whole.verdicts
        assert arguments.position == arguments.decided == whole.position
        assert arguments.withheld == whole.withheld
    assert json.loads(out, object_pairs_hook=pairs) == without_secrets(value)


@given(st.lists(st.one_of(FRAGMENTS, st.sampled_from([*'"\\u0{}:,d8'])), max_size=20), CUTS)
def test_what_is_no_json_hides_nothing(parts: list[str], cuts: list[int]) -> None:
    """Of any text the same leaves however it is cut, and no secret is left when it is read."""
    raw = "".join(parts)
    out, _ = filtered([raw])
    assert filtered(cuts_of(raw, cuts))[0] == out
    assert filtered([*raw])[0] == out
    assert MATCH.sub("", out) == out
    assert filtered([out])[0] == out


DOCUMENT = (
    r'{"t\u006f": "a se\u0063ret \ud83D\uDe00\u00e9! b\"", "n": [4111111111111111, 1.5], '
    r'"\u0073ecret": {"": null}}'
)
CLEAN = f'{{"to": "a {HIDDEN} {HIDDEN} b\\"", "n": ["{HIDDEN}", 1.5], "{HIDDEN}": {{"": null}}}}'


def test_every_cut() -> None:
    """A document that has all of it comes out the same with every single and double cut."""
    for one, other in itertools.combinations_with_replacement(range(len(DOCUMENT)), 2):
        assert filtered([DOCUMENT[:one], DOCUMENT[one:other], DOCUMENT[other:]])[0] == CLEAN


@pytest.mark.parametrize(
    "raw",
    [
        '{"a": "x \u00e9 \U0001f600", "b": [1, -2.5e-3, true, null], "": {}}\n',
        "{'a': 'x', 'b': None}",
        "no JSON at all",
        '"not ended',
        '{"a" "b"',
        '""""',
        "",
    ],
)
def test_plain_text_stays(raw: str) -> None:
    """Text without escapes that no rule touches comes out as it was."""
    assert filtered([raw])[0] == filtered([*raw])[0] == raw


@pytest.mark.parametrize(
    ("raw", "out"),
    [
        ("{'card': '4111111111111111'}", "{'card': '\"[REDACTED:words]\"'}"),
        (r"{'a': '\u0073ecret'}", "{'a': '\"[REDACTED:words]\"'}"),
        (r"\u0073ec\u0072et \"x\\ \n", '"[REDACTED:words]" \\"x\\\\ \n'),
        ("secret\uffff", '"[REDACTED:words]"\ufffd'),
        ('"secret', '"[REDACTED:words]'),
        ('"line\nsecret\t"', r'"line\n[REDACTED:words]\t"'),
        (r'"C:\dir\secret"', r'"C:\\dir\\[REDACTED:words]"'),
        ('{"secret": secret}', '{"[REDACTED:words]": "[REDACTED:words]"}'),
    ],
)
def test_what_is_no_json(raw: str, out: str) -> None:
    """Arguments that are no JSON are filtered all the same, in strings and outside of them."""
    assert filtered([raw])[0] == filtered([*raw])[0] == out


def test_lone_surrogates() -> None:
    """A surrogate without its other half leaves as an escape, for it has no bytes."""
    for raw in (r'"\ud83d secret\ude00"', '"\ud83d secret\ude00"'):
        out = filtered([*raw])[0]
        assert out == r'"\ud83d [REDACTED:words]\ude00"'
        out.encode()


def test_halves_of_a_character_are_seen_as_one() -> None:
    """A rule finds a character whose halves come in different spellings and pieces."""
    rules = plan("\U0001f600")
    for spelled in (r"\ud83d\ude00", "\\ud83d\ude00", "\ud83d\\ude00", "\ud83d\ude00"):
        assert filtered([*f'"{spelled}"'], rules)[0] == '"[REDACTED:words]"'
        assert filtered([*f"[{spelled}]"], rules)[0] == '["[REDACTED:words]"]'


def test_no_started_match_leaves_at_a_cut() -> None:
    """Wherever arguments are cut off, nothing of a match that has begun is shown."""
    raw = r'{"k": "x \u0073ecret y \ud83d\ude00\u00e9!", "n": 4111111111111111}'
    shown = set()
    for end in range(len(raw) + 1):
        out, arguments = filtered([raw[:end]], cut=True)
        assert CLEAN_CUT.startswith(out)
        assert arguments.decided == arguments.position
        shown.add(out)
    assert CLEAN_CUT in shown


CLEAN_CUT = f'{{"k": "x {HIDDEN} y {HIDDEN}", "n": "{HIDDEN}"}}'


def test_what_an_honest_end_leaves() -> None:
    """At the source's own end half an escape is the characters it came as, seen by the rules."""
    assert filtered(['"sec'])[0] == '"sec'
    assert filtered([r'"a\u00'])[0] == r'"a\\u00'
    assert filtered([r'"a\ud83d'])[0] == r'"a\ud83d'
    assert filtered([r'"a\u00'], plan("u0"))[0] == r'"a\\[REDACTED:words]0'
    assert filtered([r'"a\u00'], cut=True)[0] == '"a'


def test_what_is_surrendered() -> None:
    """Arguments that cannot be checked any more give what is held, as JSON; a stop gives none."""
    arguments = ArgumentsFilter(plan("a\nb", action="block"), field="tool_calls[0]")
    assert arguments.surrender() == ""
    assert arguments.feed(r'"x a\u000a\ud83') == '"x '
    assert arguments.surrender() == r"a\n\ud83"
    assert arguments.feed("d a\\nb a\\") == r"a\n\ud83d "
    assert arguments.surrender() == ""


def test_a_block_lets_nothing_more_leave() -> None:
    """Once a rule has called for the end nothing leaves, and all that comes is withheld."""
    arguments = ArgumentsFilter(plan(action="block"), field="tool_calls[0]")
    arguments.track()
    assert arguments.feed('{"a": "b \\u0073ec') == '{"a": "b '
    assert (arguments.position, arguments.decided) == (17, 9)
    assert arguments.feed('ret c", "d": "e') == ""
    assert arguments.stopped == "block"
    assert arguments.feed('", "secret": 1\\u') == ""
    assert arguments.position == arguments.decided == 48
    assert arguments.finish(cut=True) == ""
    assert arguments.position == arguments.decided == 48
    assert arguments.withheld == 48 - 9 - len("u0073") - len("u")
    assert arguments.verdicts == [Verdict("words", "block", 0, "tool_calls[0]", 9, 6)]
    assert not arguments.touches(0, 9)
    assert arguments.touches(9, 10)
    assert arguments.touches(9, 32)
    assert arguments.touches(32, 48)


def test_a_block_at_the_end_of_a_string() -> None:
    """A match that only the quote completes ends the stream before the quote."""
    rules = plan(regex=r"\bkey\b", action="block")
    for raw in ('["key", 1]', "[key"):
        for pieces in ([raw], [*raw]):
            out, arguments = filtered(pieces, rules)
            assert out == raw[: raw.index("key")]
            assert arguments.stopped == "block"
            assert arguments.withheld == len(raw) - len(out)


def test_verdicts_count_decoded_characters() -> None:
    """A verdict tells choice and field, and its place in the decoded arguments."""
    arguments = ArgumentsFilter(plan(), field="tool_calls[2]", choice=3)
    arguments.feed(r'{"\u0061\n": "\ud83d\ude00 s\u0065cret", "n": 411111')
    assert arguments.verdicts == [Verdict("words", "redact", 3, "tool_calls[2]", 10, 6)]
    arguments.feed("1111111111}")
    arguments.finish(cut=False)
    assert [(one.offset, one.length) for one in arguments.verdicts] == [(10, 6), (24, 16)]
    assert arguments.withheld == 22


def test_flags_hide_nothing() -> None:
    """A rule that flags leaves the arguments as they are, and tells."""
    out, arguments = filtered(['{"secret": 1, "b": "secret"}'], plan(action="flag"))
    assert out == '{"secret": 1, "b": "secret"}'
    assert [one.offset for one in arguments.verdicts] == [2, 20]
    assert arguments.withheld == 0


def test_verdicts_are_bounded() -> None:
    """A thousand verdicts are kept; what is found beyond is hidden and counted."""
    count = MOST_VERDICTS + 10
    out, arguments = filtered([json.dumps(["secret"] * count)])
    assert json.loads(out) == [HIDDEN] * count
    assert len(arguments.verdicts) == MOST_VERDICTS
    assert arguments.withheld == 6 * count


def test_positions() -> None:
    """Characters count as they came; those of an escape are decided together, when it is whole."""
    arguments = ArgumentsFilter(plan("secret"), field="tool_calls[0]")
    places = []
    for piece in (
        '"',
        "a",
        "\\",
        "u006",
        "1s",
        r"\ud8",
        "3d",
        "\\u",
        "de00",
        r"\q",
        r"\ude00",
        '",',
    ):
        arguments.feed(piece)
        places.append((arguments.position, arguments.decided))
    assert places == [
        *((1, 1), (2, 2), (3, 2), (7, 2), (9, 8)),
        *((13, 8), (15, 8), (17, 8), (21, 21)),
        *((23, 23), (29, 29), (31, 31)),
    ]


def entries(pieces: Sequence[str], rules: Plan | None = None, *, cut: bool = False) -> list[bool]:
    """Tell of each piece whether an entry that travels with it would have to go."""
    arguments = ArgumentsFilter(rules or plan(), field="tool_calls[0]")
    arguments.track()
    places = []
    for piece in pieces:
        start = arguments.position
        arguments.feed(piece)
        places.append((start, arguments.position))
    arguments.finish(cut=cut)
    return [arguments.touches(start, end) for start, end in places]


def test_touches() -> None:
    """Pieces touch what was hidden where they share a character with it, in any text."""
    assert entries(['["', "a ", "sec", "ret", " b", '", ', CARD[:5], CARD[5:], "]"]) == [
        *(False, False, True, True, False),
        *(False, True, True, False),
    ]
    assert entries(['["a', 's"', ", 1"]) == [False, False, False]


def test_a_torn_character_belongs_to_all_its_pieces() -> None:
    """A piece with a part of a hidden character's escape touches it, be it only a digit."""
    assert entries(['"a', r"\u", "00", "73", "ecret", " b"]) == [
        *(False, True, True, True, True, False),
    ]
    assert entries(['"', r"\ud8", r"3d\ude", "00", " b"], plan("\U0001f600")) == [
        *(False, True, True, True, False),
    ]
    assert entries(['"', r"\ud83d", r"\u00", "73ecret"]) == [False, False, True, True]
    assert entries(['"a', r"\u00", "62", "c"]) == [False] * 4


def test_tokens_of_one_piece_have_their_places() -> None:
    """What travels with a part of a piece is found by counting characters as they came."""
    arguments = ArgumentsFilter(plan("secret"), field="tool_calls[0]")
    arguments.track()
    tokens = ['["', r"\u0041\u0041", r"\n", "secret", r"\u00e9", "x"]
    arguments.feed("".join(tokens))
    ends = [*itertools.accumulate(map(len, tokens))]
    assert arguments.decided == arguments.position == ends[-1]
    touched = [
        arguments.touches(end - len(token), end) for token, end in zip(tokens, ends, strict=True)
    ]
    assert touched == [False, False, False, True, False, False]


def test_what_a_cut_drops_is_touched() -> None:
    """Pieces whose characters were dropped at a cut touch them, whole or not."""
    assert entries(['"a', "sec"], cut=True) == [False, True]
    assert entries(['"a', r"\u00"], cut=True) == [False, True]
    assert entries(['"a', r"\u00", '62"'], cut=True) == [False] * 3


def test_touches_is_asked_while_text_arrives() -> None:
    """Tracking may begin in the middle, and questions may go back: several lists ask."""
    arguments = ArgumentsFilter(plan(), field="tool_calls[0]")
    assert not arguments.touches(0, 1)
    arguments.feed('["x')
    arguments.track()
    arguments.track()
    arguments.feed('secret y", "')
    assert arguments.touches(3, 9)
    assert not arguments.touches(9, 15)
    assert arguments.touches(3, 9)


def test_what_is_remembered_is_bounded() -> None:
    """Where nobody asks, the oldest ranges become one, and escapes are forgotten."""
    arguments = ArgumentsFilter(plan(), field="tool_calls[0]")
    arguments.track()
    for _ in range(2 * MOST_RANGES):
        arguments.feed(r'"secre\u0074", ')
    assert arguments._hidden is not None
    assert len(arguments._hidden) == MOST_RANGES
    assert not arguments._decoder.places._jumps
    assert arguments.touches(0, 1) is False
    assert arguments.touches(1, 2)
    assert arguments.touches(12, 13)  # taken for hidden, to be safe
    assert not arguments.touches(arguments.position - 2, arguments.position)


@pytest.mark.parametrize("before", ['"', '"secret'])
def test_escapes_are_forgotten(before: str) -> None:
    """A long text takes no more memory, nor does one that goes on after a stop."""
    arguments = ArgumentsFilter(plan(action="block"), field="tool_calls[0]")
    arguments.feed(before)
    for _ in range(3):
        arguments.feed(r"\u0041" * 100)
        assert not arguments._decoder.places._jumps


@given(VALUES, st.randoms(use_true_random=False), CUTS)
def test_pieces_go_with_their_characters(
    value: Any, chance: random.Random, cuts: list[int]
) -> None:
    """A piece touches what was hidden if it has a part of it, and only then."""
    raw = spell(value, chance)
    decoder = Decoder()
    owners = []  # the decoded character each character of the raw text belongs to
    for character in raw:
        owners.append(decoder.decoded)
        decoder.take(character, 0)
    hidden = {
        at
        for one in filtered([raw])[1].verdicts
        for at in range(one.offset, one.offset + one.length)
    }
    pieces = cuts_of(raw, cuts)
    left = iter(owners)
    expected = [bool(hidden & {*itertools.islice(left, len(piece))}) for piece in pieces]
    assert entries(pieces) == expected


class Counting(TextFilter):
    """A filter that counts what it is asked to do."""

    made = 0
    calls = 0
    characters = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        Counting.made += 1

    def feed(self, text: str) -> str:
        """Count a piece."""
        Counting.calls += 1
        Counting.characters += len(text)
        return super().feed(text)


@pytest.mark.parametrize(
    ("body", "decoded"),
    [("x", 1_000_000), (r"\u0078", 1_000_000 // 6), ("\\\\", 500_000), (r"\ud83d\ude00", 83_333)],
)
def test_a_megabyte_is_gone_through_once(body: str, decoded: int) -> None:
    """Each text is filtered in one call a piece, each character once, escapes or not."""
    raw = '["' + body * (1_000_000 // len(body)) + '"]'
    for size in (len(raw), 1000):
        Counting.made = Counting.calls = Counting.characters = 0
        arguments = ArgumentsFilter(plan(), field="tool_calls[0]", make=Counting)
        out = [arguments.feed(raw[at : at + size]) for at in range(0, len(raw), size)]
        assert len("".join(out) + arguments.finish(cut=False)) <= len(raw)
        assert Counting.made == 3
        assert Counting.calls <= len(out) + 2
        assert Counting.characters == decoded + 2
