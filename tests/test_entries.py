"""Log probabilities and token ids leave with their characters, or not at all."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hiding import Hiding

from deltaweir.types import Chunk, TextChunk
from deltaweir.weir import Ending, Weir

WORDS = ("ab", "bbé", "ba")
ALPHABET = "abcé"

Pieces = list[list[str]]


def scored(token: str, number: int, raw: bytes | None = None) -> dict[str, Any]:
    """Return a log probability of a token, known again by its number."""
    told = {} if raw is None else {"bytes": list(raw)}
    return {"token": token, "logprob": -float(number), "top_logprobs": [], **told}


def chat(
    delta: dict[str, Any],
    logprobs: dict[str, Any] | None = None,
    *,
    index: int = 0,
    finish_reason: str | None = None,
    **more: Any,
) -> Chunk:
    """Return a chunk with one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason, **more}
    return Chunk.model_validate({"choices": [{**choice, "logprobs": logprobs}]})


def spoken(pieces: Pieces, texts: Sequence[str] | None = None) -> list[Chunk]:
    """Return a chunk for each group of tokens, with its text, or with another."""
    numbers = itertools.count(1)
    return [
        chat({"content": text}, {"content": [scored(one, next(numbers)) for one in tokens]})
        for tokens, text in zip(pieces, texts or map("".join, pieces), strict=True)
    ]


def completed(pieces: Pieces) -> list[TextChunk]:
    """Return the same as chunks of a text completion."""
    numbers = itertools.count(1)
    chunks = []
    for tokens in pieces:
        values = [-float(next(numbers)) for _ in tokens]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": values,
            "text_offset": [0] * len(tokens),
            "top_logprobs": [{"x": value} for value in values],
        }
        choice = {"index": 0, "text": "".join(tokens), "logprobs": logprobs}
        chunks.append(TextChunk.model_validate({"choices": [choice]}))
    return chunks


def numbers_in(chunks: Sequence[Any], name: str = "content", index: int = 0) -> list[int]:
    """Return the numbers of the entries that chunks bring for a choice."""
    found: list[int] = []
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        logprobs = choice.logprobs
        if logprobs is None or choice.index != index:
            continue
        if isinstance(choice.get("text"), str):
            assert len(logprobs.tokens) == len(logprobs.text_offset)
            assert [{"x": one} for one in logprobs.token_logprobs] == logprobs.top_logprobs
            found += [-int(one) for one in logprobs.token_logprobs]
        else:
            found += [-int(one["logprob"]) for one in logprobs.get(name) or ()]
    return found


def places_of(pieces: Pieces) -> dict[int, range]:
    """Return the characters of each entry; those of an empty one are the next."""
    tokens = [token for group in pieces for token in group]
    ends = [*itertools.accumulate(map(len, tokens))]
    starts = [0, *ends]
    return {at + 1: range(starts[at], max(starts[at] + 1, ends[at])) for at in range(len(tokens))}


groups = st.lists(st.lists(st.text(ALPHABET, max_size=3), max_size=3), max_size=6)


# --- tokens that make up their text -----------------------------------------------------


@pytest.mark.parametrize("form", [spoken, completed])
@given(pieces=groups, reason=st.sampled_from(["stop", "length", None]))
def test_entries_leave_with_their_characters(form: Any, pieces: Pieces, reason: Any) -> None:
    """However tokens are cut and grouped, just those leave whose characters were all shown.

    None leaves before its last character has, and they leave in order. Only at an end that
    the source did not mean may those be missing that waited.
    """
    guard = Hiding(*WORDS)
    chunks = form(pieces)
    weir: Weir[Any] = Weir(type(chunks[0]) if chunks else Chunk, guard=guard)
    places = places_of(pieces)
    field = "text" if form is completed else "content"
    left: list[int] = []
    for one in chunks:
        new = numbers_in(weir.feed(one, 0.0))
        assert all(places[number].stop <= guard.decided(0, field) for number in new)
        left += new
    assert guard.verdict is None
    if chunks and reason:
        last = type(chunks[0]).model_validate({"choices": [{"index": 0, "finish_reason": reason}]})
        left += numbers_in(weir.feed(last, 0.0))
    left += numbers_in(weir.abort(Ending.STOPPED))
    tokens = [token for group in pieces for token in group]
    hidden = guard.hidden("".join(tokens))
    whole = [number for number, place in places.items() if hidden.isdisjoint(place)]
    if reason == "stop":
        # empty tokens may also wait, as a unit, with more than the next character
        full = {number for number in whole if tokens[number - 1]}
        assert [one for one in left if one in full] == sorted(full)
        assert hidden or left == whole
    assert set(left) <= set(whole)
    assert left == sorted(left)


@given(st.lists(st.lists(st.text(ALPHABET, min_size=1, max_size=3), max_size=3), max_size=6))
def test_entries_of_a_text_without_words_pass_untouched(pieces: Pieces) -> None:
    """Where nothing is hidden or held, the very chunk goes out."""
    chunks = [one for one in spoken(pieces) if one.choices[0].delta.content]
    dumped = [one.model_dump() for one in chunks]
    weir = Weir(Chunk, guard=Hiding("xyz"))
    for one, before in zip(chunks, dumped, strict=True):
        (shown,) = weir.feed(one, 0.0)
        assert shown is one
        assert shown.model_dump() == before


def test_bytes_tell_where_tokens_end_within_a_character() -> None:
    """Tokens that hold a part of a character each belong to that character."""
    euro = "€".encode()
    tokens = [
        scored("x", 1, b"x"),
        scored("\\xe2\\x82", 2, euro[:2]),
        scored("\\xac", 3, euro[2:]),
        scored("", 4, b""),
        scored("yy", 5, b"yy"),
    ]
    for word, left in (("€", [1, 4, 5]), ("x", [2, 3, 4, 5]), ("yy", [1, 2, 3]), ("€y", [1])):
        weir = Weir(Chunk, guard=Hiding(word))
        out = [
            *weir.feed(chat({"content": "x€yy"}, {"content": tokens}), 0.0),
            *weir.feed(chat({}, finish_reason="stop"), 0.0),
        ]
        assert numbers_in(out) == left


def test_what_are_no_bytes_is_left_aside() -> None:
    """Bytes that are none do no harm; the token tells."""
    token = scored("ab", 1) | {"bytes": [300]}
    weir = Weir(Chunk, guard=Hiding("x"))
    assert numbers_in(weir.feed(chat({"content": "ab"}, {"content": [token]}), 0.0)) == [1]
    assert numbers_in(weir.feed(chat({"content": "xb"}, {"content": [token]}), 0.0)) == []


def test_refusals_and_reasoning_have_lists_of_their_own() -> None:
    """Each field's list follows its field; choices do not mix."""
    weir = Weir(Chunk, guard=Hiding("no"))
    delta = {"content": "a", "refusal": "no", "reasoning_content": "n"}
    logprobs = {
        "content": [scored("a", 1)],
        "refusal": [scored("n", 2), scored("o", 3)],
        "reasoning_content": [scored("n", 4)],
    }
    out = [
        *weir.feed(chat(delta, logprobs), 0.0),
        *weir.feed(chat({"reasoning_content": "x"}, index=1), 0.0),
    ]
    assert [numbers_in(out, name) for name in logprobs] == [[1], [], []]
    out = [*weir.feed(chat({"reasoning_content": "x"}), 0.0)]
    assert out[0].choices[0].delta.reasoning_content == "nx"
    assert numbers_in(out, "reasoning_content") == [4]


def test_held_text_takes_its_entries_along() -> None:
    """The chunk that brings held text ahead of the finish chunk brings its entries as well."""
    weir = Weir(Chunk, guard=Hiding("abc"))
    assert list(weir.feed(chat({"content": "ab"}, {"content": [scored("ab", 1)]}), 0.0)) == []
    carrier, last = weir.feed(chat({}, finish_reason="stop"), 0.0)
    assert (carrier.choices[0].delta.content, numbers_in([carrier])) == ("ab", [1])
    assert numbers_in([last]) == []


def test_cleared_text_takes_its_entries_along() -> None:
    """So does the chunk of a text that a classifier found clean."""
    weir = Weir(Chunk, guard=Hiding("abc"))
    weir.feed(chat({"content": "ab"}, {"content": [scored("a", 1), scored("b", 2)]}), 0.0)
    assert numbers_in(weir.clear(0, "content", 1)) == [1]
    assert numbers_in(weir.clear(0, "content", 2)) == [2]


# --- tokens that do not -------------------------------------------------------------------


@given(st.data(), groups)
def test_tokens_ahead_of_their_text_tell_no_word(data: st.DataObject, pieces: Pieces) -> None:
    """Where a server sends tokens before their text, no run of entries has a word in it.

    Where no word is in the text, all of them leave, in order.
    """
    text = "".join(itertools.chain.from_iterable(pieces))
    cuts: list[int] = []
    for come in itertools.accumulate(len("".join(group)) for group in pieces):
        cuts.append(data.draw(st.integers(cuts[-1] if cuts else 0, come)))
    texts = [text[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]
    guard = Hiding(*WORDS)
    weir = Weir(Chunk, guard=guard)
    chunks = spoken(pieces, texts)
    chunks += [chat({"content": text[cuts[-1] if cuts else 0 :]}, finish_reason="stop")]
    left = numbers_in([shown for one in chunks for shown in weir.feed(one, 0.0)])
    tokens = dict(enumerate(itertools.chain.from_iterable(pieces), 1))
    assert left == sorted(left)
    assert guard.hidden(text) or left == list(tokens)
    for _, run in itertools.groupby(left, key=lambda number: number - left.index(number)):
        assert not guard.hidden("".join(tokens[number] for number in run))


def test_what_no_text_says_does_not_leave() -> None:
    """Entries for marks that stand in no text are dropped, also where nothing is hidden."""
    weir = Weir(Chunk, guard=Hiding("zz"))
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a"'}}]}
    said = [scored(one, at) for at, one in enumerate(["<tool>", "f", '{"', "\ufffd", 'a"'], 1)]
    out = [
        *weir.feed(chat(call, {"content": said}), 0.0),
        *weir.feed(chat({}, {"content": [scored("<end>", 6)]}, finish_reason="stop"), 0.0),
    ]
    assert numbers_in(out) == [2, 3, 4, 5]
    assert numbers_in(out[:1]) == []


def test_tokens_of_another_field_are_that_fields() -> None:
    """Tokens of reasoning that stand under content follow the reasoning."""
    weir = Weir(Chunk, guard=Hiding("secret"))
    out: list[Chunk] = []
    for number, text in enumerate(("a", "sec", "ret", "b"), 1):
        delta = {"reasoning_content": text}
        out += weir.feed(chat(delta, {"content": [scored(text, number)]}), 0.0)
    assert numbers_in(out) == [1, 4]


def test_a_unit_that_touches_a_word_goes_whole() -> None:
    """Where it is not known whose a token is, one hidden character hides them all."""
    weir = Weir(Chunk, guard=Hiding("no"))
    delta = {"content": "a", "refusal": "no"}
    odd = [scored("a", 1), scored("n", 2), scored("o", 3)]
    out = [
        *weir.feed(chat(delta, {"content": odd}), 0.0),
        *weir.feed(chat({"content": "b"}, {"content": [scored("b", 4)]}), 0.0),
    ]
    assert numbers_in(out) == [4]


def test_a_cut_drops_what_waits() -> None:
    """At an end that the source did not mean, neither held entries nor units leave."""
    for ending in (Ending.STOPPED, Ending.FAILED):
        weir = Weir(Chunk, guard=Hiding("abc"))
        weir.feed(chat({"content": "ab"}, {"content": [scored("ab", 1)]}), 0.0)
        weir.feed(chat({}, {"refusal": [scored("b", 2)]}, token_ids=[3]), 0.0)
        out = weir.abort(ending)
        assert (numbers_in(out), numbers_in(out, "refusal"), ids_in(out)) == ([], [], [])


def test_a_guard_that_fires_lets_entries_before_the_word_leave() -> None:
    """What was shown of the last text keeps its entries."""
    weir = Weir(Chunk, guard=Hiding(fatal="no"))
    tokens = [scored("a", 1), scored("n", 2), scored("o", 3)]
    out = weir.feed(chat({"content": "ano"}, {"content": tokens}), 0.0)
    assert (weir.ending, numbers_in(out)) == (Ending.BLOCKED, [1])
    assert out[0].choices[0].delta.content == "a"


def test_tokens_too_far_ahead_are_given_up() -> None:
    """What waits for its text is bounded: the latest are kept."""
    weir = Weir(Chunk, guard=Hiding("zz"))
    weir.feed(chat({}, {"content": [scored("x", at) for at in range(1, 301)]}), 0.0)
    out = weir.feed(chat({"content": "x" * 300}, finish_reason="stop"), 0.0)
    assert numbers_in(out) == list(range(45, 301))


def test_pieces_of_one_field_in_one_chunk_follow_each_other() -> None:
    """Where a chunk has two pieces of one call's arguments, each has its own characters."""
    calls = [{"index": 0, "function": {"arguments": text}} for text in ("xa", "b")]
    weir = Weir(Chunk, guard=Hiding("ab"))
    logprobs = {"content": [scored("xa", 1)], "refusal": [scored("b", 2)]}
    out = [
        *weir.feed(chat({"tool_calls": calls}, logprobs), 0.0),
        *weir.feed(chat({"tool_calls": calls[1:]}, {"content": [scored("b", 3)]}), 0.0),
    ]
    assert (numbers_in(out), numbers_in(out, "refusal")) == ([3], [])


# --- ids ------------------------------------------------------------------------------------


def ids_in(chunks: Sequence[Any]) -> list[int]:
    """Return the token ids that chunks bring."""
    return [
        one
        for chunk in chunks
        for choice in chunk.choices
        for record in (choice, choice.get("delta", {}))
        for one in record.get("token_ids") or ()
    ]


@pytest.mark.parametrize("beside", ["choice", "delta"])
def test_token_ids_share_the_fate_of_their_chunk(beside: str) -> None:
    """Ids leave when all texts of their chunk have, and not at all when one was hidden.

    Ids without a text tell that the source is out of step: then none leaves any more, since
    it cannot be known whose they are.
    """
    weir = Weir(Chunk, guard=Hiding("secret"))
    shown = []
    texts = [("a", [1]), ("b sec", [2, 3]), ("ond", [4]), ("secret", [5]), ("c", [6])]
    texts += [("", [7]), ("d", [8])]
    for text, ids in texts:
        delta: dict[str, Any] = {"token_ids": ids} if beside == "delta" else {}
        more: dict[str, Any] = {"token_ids": ids} if beside == "choice" else {}
        shown.append(ids_in(weir.feed(chat({"content": text, **delta}, **more), 0.0)))
    assert shown == [[1], [], [2, 3, 4], [], [6], [], []]


def test_token_ids_of_held_text() -> None:
    """They go with the chunk that brings the held text, in both endpoints."""
    for kind, text, place in (
        (Chunk, {"delta": {"content": "ab", "token_ids": [1]}}, "delta"),
        (TextChunk, {"text": "ab", "token_ids": [1]}, "choice"),
    ):
        weir: Weir[Any] = Weir(kind, guard=Hiding("abc"))
        assert not weir.feed(kind.model_validate({"choices": [{"index": 0, **text}]}), 0.0)
        last = kind.model_validate({"choices": [{"index": 0, "finish_reason": "stop"}]})
        carrier, end = weir.feed(last, 0.0)
        assert (ids_in([carrier]), ids_in([end]), place) == ([1], [], place)


def test_ids_without_any_text_leave_with_the_end() -> None:
    """Where no text came, nothing was hidden; the finish chunk takes them, changed."""
    weir = Weir(Chunk, guard=Hiding("abc"))
    out = [
        *weir.feed(chat({"role": "assistant"}, token_ids=[1]), 0.0),
        *weir.feed(chat({}, finish_reason="stop", token_ids=[2]), 0.0),
    ]
    assert [ids_in([one]) for one in out] == [[], [1, 2]]


def test_ids_that_are_no_list_are_taken_out() -> None:
    """What cannot be read as ids does not pass a guard."""
    weir = Weir(Chunk, guard=Hiding("abc"))
    (shown,) = weir.feed(
        chat({"content": "x", "token_ids": "secret"}, token_ids={"a": "secret"}), 0.0
    )
    assert "secret" not in shown.model_dump_json()


@pytest.mark.parametrize(
    "chunks",
    [
        [({}, [1]), ({"content": "hello "}, [2]), ({"content": "secret"}, [3])],
        [({"content": "a"}, []), ({"content": "b"}, [1]), ({"content": "secret"}, [2])],
        [({"content": "a"}, [1]), ({"content": "b"}, []), ({"content": "secret"}, [2])],
        [({"content": "my secret"}, []), ({}, [1])],
    ],
)
def test_ids_out_of_step_leave_only_if_nothing_was_hidden(chunks: Any) -> None:
    """Ahead of their text or behind it, ids may be those of a word; else all leave at the end."""
    for word in ("secret", "another"):
        weir = Weir(Chunk, guard=Hiding(word))
        out = [
            shown
            for delta, ids in chunks
            for shown in weir.feed(chat(delta, **({"token_ids": ids} if ids else {})), 0.0)
        ]
        before = ids_in(out)
        out += weir.feed(chat({"content": " bye"}, finish_reason="stop", token_ids=[9]), 0.0)
        late = [one for _, ids in chunks for one in ids] + [9]
        in_step = chunks[0][1][:1] if chunks[0][0] else []
        assert before == in_step
        assert ids_in(out) == (late if word == "another" else in_step)


def test_tokens_that_another_text_says_by_chance_do_not_leave() -> None:
    """Tokens of a call that its parser still holds, some of which stand in the content."""
    weir = Weir(Chunk, guard=Hiding("123"))
    call = {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 123}'}}]}
    tokens = [scored(one, at) for at, one in enumerate(['{"a', '": ', "1", "2", "3", "}"], 1)]
    out = [
        *weir.feed(chat({"content": "It is 1 of 2. "}, {"content": tokens}), 0.0),
        *weir.feed(chat(call), 0.0),
        *weir.feed(chat({}, finish_reason="tool_calls"), 0.0),
    ]
    assert numbers_in(out) == []


def test_tokens_a_stop_word_ahead_keep_their_characters() -> None:
    """A source that holds its text is caught up with at its end, and each token has its own."""
    weir = Weir(Chunk, guard=Hiding("secret"))
    tokens = [scored(one, at) for at, one in enumerate(["a ", "sec", "ret", " b"], 1)]
    texts = ("", "a", " secr", "et b")
    out = [
        shown
        for token, text in zip(tokens, texts, strict=True)
        for shown in weir.feed(chat({"content": text}, {"content": [token]}), 0.0)
    ]
    assert numbers_in(out) == [1, 4]


def test_tokens_ahead_are_not_taken_for_those_of_a_text_that_is_alike() -> None:
    """A source that repeats itself one token ahead: each has its own characters all the same."""
    weir = Weir(Chunk, guard=Hiding("aab"))
    out: list[Chunk] = []
    for number, (token, text) in enumerate([("x", ""), ("x", "x"), ("aab", "x"), ("y", "aab")], 1):
        out += weir.feed(chat({"content": text}, {"content": [scored(token, number)]}), 0.0)
    assert numbers_in(out) == []
    assert numbers_in(weir.feed(chat({"content": "y"}, finish_reason="stop"), 0.0)) == [1, 2, 4]


def test_an_illegible_part_ahead_does_not_hold_up_the_rest() -> None:
    """A token that is a part of the next chunk's character leaves with it."""
    weir = Weir(Chunk, guard=Hiding("secret"))
    euro = "€".encode()
    out = [
        *weir.feed(chat({"content": ""}, {"content": [scored("", 1, euro[:2])]}), 0.0),
        *weir.feed(chat({"content": "€"}, {"content": [scored("€", 2)]}), 0.0),
    ]
    assert numbers_in(out) == [1, 2]


# --- a budget alone -------------------------------------------------------------------------


class Allowance:
    """A budget of so many characters."""

    sent, spent = 0, False

    def __init__(self, limit: int) -> None:
        self.left = limit

    def allow(self, index: int, field: str, text: str) -> int | None:
        """Allow what is left."""
        allowed, self.left = self.left, self.left - len(text)
        return None if self.left >= 0 else allowed


@pytest.mark.parametrize("form", [spoken, completed])
@given(pieces=groups, limit=st.integers(0, 12))
def test_entries_before_a_cut_stay(form: Any, pieces: Pieces, limit: int) -> None:
    """A budget alone holds nothing: entries wholly before its cut stay, others do not."""
    pieces = [[token for token in group if token] for group in pieces]
    chunks = form(pieces)
    weir: Weir[Any] = Weir(type(chunks[0]) if chunks else Chunk, budget=Allowance(limit))
    out = [shown for one in chunks for shown in weir.feed(one, 0.0)]
    places = places_of(pieces)
    assert numbers_in(out) == [number for number, place in places.items() if place.stop <= limit]


def test_ids_and_odd_lists_of_a_cut_chunk_are_dropped() -> None:
    """Where it is not known which stand before the cut, none stays; whole chunks keep theirs."""
    feed = functools.partial(Weir(Chunk, budget=Allowance(3)).feed, now=0.0)
    logprobs = {"content": [scored("odd", 1)], "more": 1}
    (whole,) = feed(chat({"content": "ab"}, logprobs, token_ids=[1]))
    assert (numbers_in([whole]), ids_in([whole])) == ([1], [1])
    out = feed(chat({"content": "abc"}, logprobs, token_ids=[1]))
    assert (numbers_in(out), ids_in(out)) == ([], [])
    assert out[0].choices[0].delta.content == "a"
    assert out[0].choices[0].logprobs is None
