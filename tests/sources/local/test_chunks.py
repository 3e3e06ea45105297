"""From the engine's bytes to chunks: events as it writes them in, chunks as OpenAI has them out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import ContextLengthExceeded, DeltaweirError, InvalidRequest, StreamFailed
from deltaweir.schema.request import chat_request, text_request
from deltaweir.sources.local.chunks import Translation
from deltaweir.sources.local.prompts import Abilities
from deltaweir.sources.local.request import Plan, plan_chat, plan_text
from deltaweir.sources.local.voice import LEAST_LOGPROB, Heard
from deltaweir.types import AnyChunk, Chunk, TextChunk

MODEL = Abilities(name="m", vocabulary=100, tools=True, infill=None)
TOOL = {"type": "function", "function": {"name": "f"}}

# what llama.cpp sends for "What's 1+1? Answer in one word.", shortened by ids and timings
BEGIN = (
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],'
    b'"timings":{"cache_n":40,"prompt_n":0,"predicted_n":0},'
    b'"prompt_progress":{"total":41,"cache":40,"processed":40,"time_ms":0}}'
)
READ = (
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],'
    b'"timings":{"cache_n":40,"prompt_n":1,"predicted_n":0},'
    b'"prompt_progress":{"total":41,"cache":40,"processed":41,"time_ms":20}}'
)
ROLE = b'{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]}'
TWO = (
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"2"}}],'
    b'"timings":{"cache_n":40,"prompt_n":1,"predicted_n":1}}'
)
STOP = b'{"choices":[{"finish_reason":"stop","index":0,"delta":{}}]}'
USAGE = (
    b'{"choices":[],"usage":{"completion_tokens":2,"prompt_tokens":41,"total_tokens":43,'
    b'"prompt_tokens_details":{"cached_tokens":40}},"timings":{"predicted_n":2}}'
)
ANSWER = [BEGIN, READ, ROLE, TWO, STOP, USAGE]


def chat(**fields: Any) -> Plan:
    """Plan a chat completion."""
    return plan_chat(
        chat_request({"messages": [{"role": "user", "content": "x"}], **fields}), MODEL
    )


def text(**fields: Any) -> Plan:
    """Plan a text completion."""
    return plan_text(text_request({"prompt": "x", **fields}), MODEL)


def translation(plan: Plan) -> Translation:
    """Return a translation with an id and a time."""
    return Translation(plan, identity="i", created=7, model="m")


def say(translated: Translation, *raws: bytes, call: int = 0) -> list[AnyChunk]:
    """Return the chunks that events of one call make, until it has said enough."""
    out: list[AnyChunk] = []
    for raw in raws:
        heard, enough = translated.hear(call, raw)
        out += translated.feed(heard)
        if enough:
            break
    return out


def end(translated: Translation, call: int = 0) -> list[AnyChunk]:
    """Return the chunks that a call's return makes."""
    return translated.feed(Heard(call, [], None, returned=True))


def token(said: str, count: int, *, logprobs: Any = None, chat: bool = True) -> bytes:
    """Return the event of a token."""
    part: dict[str, Any] = {"index": 0, "logprobs": logprobs, "finish_reason": None}
    part |= {"delta": {"content": said}} if chat else {"text": said}
    return json.dumps({"choices": [part], "timings": {"predicted_n": count}}).encode()


def progress(total: int = 5, cached: int = 0) -> bytes:
    """Return the event of a prompt that is read."""
    told = {"total": total, "cache": cached, "processed": total}
    return json.dumps({"choices": [], "prompt_progress": told}).encode()


def finish(reason: str, *, chat: bool = True) -> bytes:
    """Return the event of an answer's end."""
    part: dict[str, Any] = {"index": 0, "finish_reason": reason}
    part["delta" if chat else "text"] = {} if chat else ""
    return json.dumps({"choices": [part]}).encode()


def counted(completion: int, prompt: int = 5) -> bytes:
    """Return the event of the last count, which the engine sends behind an answer's end."""
    told = {"prompt_tokens": prompt, "completion_tokens": completion}
    return json.dumps({"choices": [], "usage": told}).encode()


def texts(chunks: list[AnyChunk]) -> list[str]:
    """Return the texts of chunks that have one."""
    found: list[str] = []
    for chunk in chunks:
        for choice in chunk.choices:
            said = choice.text if isinstance(chunk, TextChunk) else choice.delta.content  # type: ignore[union-attr]
            if said:
                found.append(said)
    return found


def test_a_chat_is_role_tokens_finish_and_usage() -> None:
    """One role chunk, one chunk a token, an empty delta with the reason, then usage."""
    translated = translation(chat())
    chunks = [*say(translated, *ANSWER), *end(translated)]
    envelope = {"created": 7, "id": "chatcmpl-i", "model": "m", "object": "chat.completion.chunk"}
    deltas = [({"role": "assistant"}, None), ({"content": "2"}, None), ({}, "stop")]
    assert [chunk.model_dump() for chunk in chunks] == [
        *(
            {"choices": [{"delta": delta, "finish_reason": reason, "index": 0}], **envelope}
            for delta, reason in deltas
        ),
        {
            "choices": [],
            **envelope,
            "usage": {
                "completion_tokens": 2,
                "prompt_tokens": 41,
                "prompt_tokens_details": {"cached_tokens": 40},
                "total_tokens": 43,
            },
        },
    ]
    assert translated.finished


def test_a_text_completion_has_ids_and_shapes_of_its_own() -> None:
    """The engine gives both endpoints the same ids."""
    translated = translation(text())
    said = [progress(), token("a", 1, chat=False), finish("length", chat=False), counted(2)]
    chunks = [*say(translated, *said), *end(translated)]
    assert all(isinstance(chunk, TextChunk) and chunk.id == "cmpl-i" for chunk in chunks)
    assert [chunk.model_dump()["choices"] for chunk in chunks] == [
        [{"finish_reason": None, "index": 0, "text": "a"}],
        [{"finish_reason": "length", "index": 0, "text": ""}],
        [],
    ]


def test_the_count_runs_with_the_tokens() -> None:
    """None before the prompt is looked at, then exact at every moment, so a cut keeps it."""
    translated = translation(chat())
    assert translated.usage is None
    counts: list[int] = []
    for raw in ANSWER:
        say(translated, raw)
        assert translated.usage is not None
        counts.append(translated.usage.completion_tokens)
    assert counts == [0, 0, 0, 1, 1, 2]


def test_the_count_is_of_what_the_reader_was_given() -> None:
    """An engine that ran ahead of a slow reader does not change what he is told."""
    translated = translation(chat())
    heard = [translated.hear(0, raw)[0] for raw in ANSWER]
    assert translated.usage is None
    translated.feed(heard[0])
    assert translated.usage is not None
    assert translated.usage.completion_tokens == 0


def test_progress_tells_how_much_of_the_prompt_is_read() -> None:
    """Zeros at first."""
    translated = translation(chat())
    assert translated.progress == (0, 0)
    say(translated, BEGIN)
    assert translated.progress == (40, 41)
    say(translated, READ)
    assert translated.progress == (41, 41)


def test_events_without_news_make_no_chunk() -> None:
    """Progress reports carry a role each, and null is a sign of life."""
    translated = translation(chat())
    assert say(translated, BEGIN, b"null", READ) == []


def test_a_prompt_counts_once_however_many_choices_answer_it() -> None:
    """Generated tokens add up; each prompt is counted by its first choice."""
    translated = translation(text(prompt=["a", "b"], n=2))
    for call, (total, cached) in enumerate([(5, 1), (5, 4), (7, 2), (7, 6)]):
        say(translated, progress(total, cached), token("x", 3, chat=False), call=call)
    usage = translated.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (12, 12, 24)
    assert usage.prompt_tokens_details.cached_tokens == 3


def test_choices_interleave_and_the_usage_comes_after_the_last() -> None:
    """One translation for all calls, each chunk of one choice."""
    translated = translation(chat(n=2))
    first = say(translated, progress(), token("a", 1))
    second = say(translated, progress(), token("b", 1), finish("stop"), counted(1), call=1)
    assert [one.choices[0].index for one in [*first, *second]] == [0, 0, 1, 1, 1]
    assert end(translated, 1) == []
    say(translated, finish("length"), counted(1))
    (last,) = end(translated)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 2


def test_the_end_of_a_call_is_not_anticipated() -> None:
    """After its finish reason a call goes on to its usage: only that has the last token."""
    translated = translation(chat())
    assert [translated.hear(0, raw)[1] for raw in ANSWER] == [False] * 6


def test_nothing_is_generated_where_nothing_was_asked_for() -> None:
    """``max_tokens: 0`` reads no further than the prompt's length, and ends the call."""
    translated = translation(chat(max_tokens=0))
    heard, enough = translated.hear(0, BEGIN)
    assert enough
    chunks = [*translated.feed(heard), *say(translated, TWO), *end(translated)]
    assert [one.choices[0].finish_reason for one in chunks[:-1]] == [None, "length"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 0


def test_an_echo_comes_first_also_without_tokens() -> None:
    """The prompt is the first text of each of its choices."""
    translated = translation(text(echo=True, max_tokens=0))
    assert texts(say(translated, progress())) == ["x"]


@pytest.mark.parametrize(
    ("stop", "said"), [("d", ["ab", "c"]), ("bc", ["a"]), ("zzz", ["ab", "cd"]), ("ab", [])]
)
def test_an_answer_ends_before_its_stop_sequence(stop: str, said: list[str]) -> None:
    """With reason stop, at once, and with the count of the token that brought it."""
    translated = translation(chat(stop=stop))
    chunks = say(translated, progress(), token("ab", 1), token("cd", 2), token("ef", 3))
    found = stop in "abcd"
    assert texts(chunks) == (said if found else [*said, "ef"])
    assert chunks[-1].choices[0].finish_reason == ("stop" if found else None)
    assert translated.usage is not None
    assert translated.usage.completion_tokens == {"ab": 1, "zzz": 3}.get(stop, 2)
    if found:
        assert say(translated, token("x", 9)) == []
        assert translated.usage.completion_tokens < 3
        assert end(translated)[-1].usage == translated.usage


def test_text_held_for_a_stop_sequence_is_not_lost_at_a_limit() -> None:
    """It leaves before the finish reason."""
    translated = translation(text(stop="\n\n"))
    said = [token("a", 1, chat=False), token("\n", 2, chat=False), finish("length", chat=False)]
    chunks = say(translated, progress(), *said, counted(2))
    assert texts(chunks) == ["a", "\n"]
    assert chunks[-1].choices[0].finish_reason == "length"


def scored(said: str, logprob: float | None = -0.5) -> Any:
    """Return the engine's log probabilities of one token, with two rivals."""
    one = {"token": said, "bytes": [*said.encode()], "logprob": logprob}
    return {"content": [{**one, "top_logprobs": [one, {**one, "token": "?"}]}]}


def test_chat_logprobs_have_as_many_rivals_as_were_asked_for() -> None:
    """The engine always gives at least one."""
    for rivals in (0, 1, 2):
        plan = chat(logprobs=True, top_logprobs=rivals)
        raw = token("2", 1, logprobs=scored("2"))
        chunk = say(translation(plan), progress(), raw)[-1]
        assert isinstance(chunk, Chunk)
        logprobs = chunk.choices[0].logprobs
        assert logprobs is not None
        assert logprobs.content is not None
        (entry,) = logprobs.content
        assert (entry.token, entry.bytes, entry.logprob) == ("2", [50], -0.5)
        assert [top.token for top in entry.top_logprobs or ()] == ["2", "?"][:rivals]


def test_logprobs_that_nobody_asked_for_are_not_shown() -> None:
    """In either shape."""
    said = say(translation(chat()), progress(), token("2", 1, logprobs=scored("2")))
    assert "logprobs" not in said[-1].choices[0]
    raw = token("2", 1, logprobs=scored("2"), chat=False)
    assert "logprobs" not in say(translation(text()), progress(), raw)[-1].choices[0]


def test_text_logprobs_have_offsets_in_characters() -> None:
    """They count on from the echo, over tokens of several bytes."""
    translated = translation(text(logprobs=2))
    words = ["版", "\n\n", "a"]
    raws = [token(one, at, logprobs=scored(one), chat=False) for at, one in enumerate(words, 1)]
    found = [one.choices[0].logprobs for one in say(translated, progress(), *raws)]
    assert [one.model_dump() for one in found if one is not None] == [
        {
            "text_offset": [offset],
            "token_logprobs": [-0.5],
            "tokens": [word],
            "top_logprobs": [{word: -0.5, "?": -0.5}],
        }
        for offset, word in zip([0, 1, 3], words, strict=True)
    ]


def test_text_logprobs_without_rivals_have_no_rivals() -> None:
    """``logprobs: 0`` asks for the tokens' own."""
    raw = token("a", 1, logprobs=scored("a"), chat=False)
    logprobs = say(translation(text(logprobs=0)), progress(), raw)[-1].choices[0].logprobs
    assert logprobs is not None
    assert logprobs.model_dump() == {"text_offset": [0], "token_logprobs": [-0.5], "tokens": ["a"]}


@pytest.mark.parametrize("said", [None, -3.4028234663852886e38])
def test_an_impossible_token_has_openais_least_logprob(said: float | None) -> None:
    """The engine says null or the least float."""
    raw = token("a", 1, logprobs=scored("a", said), chat=False)
    logprobs = say(translation(text(logprobs=0)), progress(), raw)[-1].choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs == [LEAST_LOGPROB]  # type: ignore[union-attr]


def test_logprobs_wait_with_their_characters() -> None:
    """A token held for a stop sequence leaves with its score; a stop sequence takes its own."""
    words = ["a", "-", "b", "-", "-"]
    raws = [token(one, at, logprobs=scored(one), chat=False) for at, one in enumerate(words, 1)]
    chunks = say(translation(text(logprobs=0, stop="--")), progress(), *raws)
    scores = [one.choices[0].logprobs for one in chunks]
    assert texts(chunks) == ["a", "-b"]
    assert [one.tokens for one in scores if one is not None] == [["a"], ["-", "b"]]  # type: ignore[union-attr]


def test_what_an_event_lacks_is_no_news() -> None:
    """A choice without a delta, and usage without a breakdown."""
    translated = translation(chat())
    usage = b'{"choices":[],"usage":{"completion_tokens":3,"prompt_tokens":5}}'
    chunks = say(translated, progress(5, 4), b'{"choices":[{"index":0}]}', usage)
    assert [chunk.choices[0].delta.model_dump() for chunk in chunks] == [{"role": "assistant"}]  # type: ignore[union-attr]
    assert translated.usage is not None
    assert translated.usage.prompt_tokens_details is not None
    assert (translated.usage.total_tokens, translated.usage.completion_tokens) == (8, 3)
    assert translated.usage.prompt_tokens_details.cached_tokens == 4


def test_reasoning_is_kept_apart() -> None:
    """Other engines' field for it, and no content of its own."""
    raw = b'{"choices":[{"delta":{"reasoning_content":"hm","content":""}}]}'
    chunk = say(translation(chat()), progress(), raw)[-1]
    assert chunk.model_dump()["choices"][0]["delta"] == {"reasoning_content": "hm"}


def test_tool_calls_of_the_engine_keep_their_pieces() -> None:
    """Id, type and name in the first, arguments in the others."""
    head = b'{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{"}}'
    raws = [
        b'{"choices":[{"delta":{"tool_calls":[%b]}}]}' % one
        for one in (head, b'{"index":0,"function":{"arguments":"}"}}', b'{"index":1}')
    ]
    raws += [finish("tool_calls"), counted(1)]
    chunks = say(translation(chat(tools=[TOOL])), progress(), *raws)
    deltas = [one.model_dump()["choices"][0]["delta"] for one in chunks]
    assert deltas == [
        {"role": "assistant"},
        {"tool_calls": [json.loads(head)]},
        {"tool_calls": [{"function": {"arguments": "}"}, "index": 0}]},
        {"tool_calls": [{"index": 1}]},
        {},
    ]


def test_a_forced_call_is_shown_as_a_tool_call() -> None:
    """Its text is never content, and its end is ``tool_calls``."""
    translated = translation(chat(tools=[TOOL], tool_choice="required"))
    raws = [token(one, 1) for one in ('{"name": "f"', ', "arguments": {"a"', ": 1}}")]
    chunks = say(translated, progress(), *raws, finish("stop"), counted(1))
    assert texts(chunks) == []
    calls = [one.choices[0].delta.tool_calls for one in chunks]  # type: ignore[union-attr]
    pieces = [piece for call in calls for piece in call or ()]
    functions = [piece.function for piece in pieces if piece.function is not None]
    assert (pieces[0].id, functions[0].name) == ("call_i0", "f")
    assert "".join(function.arguments or "" for function in functions) == '{"a": 1}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_forced_call_that_is_cut_off_says_so() -> None:
    """Its reason stays ``length``."""
    translated = translation(chat(tools=[TOOL], tool_choice="required"))
    chunks = say(translated, progress(), token('{"name"', 1), finish("length"), counted(1))
    assert chunks[-1].choices[0].finish_reason == "length"


def test_older_functions_are_answered_in_their_own_words() -> None:
    """``function_call`` pieces and reason; a second call is left out."""
    translated = translation(chat(functions=[{"name": "f"}]))
    raws = [
        b'{"choices":[{"delta":{"tool_calls":[{"index":%d,"function":{"arguments":"{}"}}]}}]}' % at
        for at in (0, 1)
    ]
    chunks = say(translated, progress(), *raws, finish("tool_calls"), counted(1))
    assert [one.model_dump()["choices"][0]["delta"] for one in chunks] == [
        {"role": "assistant"},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert chunks[-1].choices[0].finish_reason == "function_call"


def test_usage_rides_on_every_chunk_where_it_was_asked_for() -> None:
    """``continuous_usage_stats``: the role chunk included."""
    options = {"continuous_usage_stats": True}
    translated = translation(chat(stream=True, stream_options=options))
    chunks = say(translated, progress(), token("a", 1), finish("stop"), counted(1))
    counts = [chunk.usage and chunk.usage.completion_tokens for chunk in chunks]
    assert counts == [1, 1, 1]
    assert say(translation(chat()), *ANSWER)[0].usage is None


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (
            (
                b'{"error":{"code":400,"type":"exceed_context_size_error","message":"m",'
                b'"n_prompt_tokens":9000,"n_ctx":4096}}'
            ),
            ContextLengthExceeded,
        ),
        (b'{"error":{"type":"invalid_request_error","message":"m"}}', InvalidRequest),
        (b'{"error":{"type":"server_error","code":500,"message":"m"}}', StreamFailed),
        (b"not json", StreamFailed),
    ],
)
def test_failures_have_our_names(raw: bytes, kind: type[DeltaweirError]) -> None:
    """Also in the middle of an answer."""
    with pytest.raises(kind):
        translation(chat()).hear(0, raw)
    translated = translation(text())
    say(translated, progress(), token("a", 1, chat=False))
    with pytest.raises(kind) as caught:
        translated.hear(0, raw)
    if kind is ContextLengthExceeded:
        assert caught.value.param == "prompt"


def test_a_call_that_returns_too_early_has_failed() -> None:
    """An answer without a finish reason is never called complete."""
    translated = translation(chat())
    say(translated, progress(), token("a", 1))
    with pytest.raises(StreamFailed, match="without a finish reason"):
        end(translated)


def test_an_error_of_a_call_is_raised_where_it_is_read() -> None:
    """On the reader's thread, as it is."""
    error = InvalidRequest("no")
    with pytest.raises(InvalidRequest) as caught:
        translation(chat()).feed(Heard(0, [], None, error=error, returned=True))
    assert caught.value is error


FIELDS = [
    *("choices", "delta", "text", "content", "tool_calls", "function", "name", "arguments"),
    *("logprobs", "usage", "timings", "prompt_progress", "error", "finish_reason", "token"),
    "top_logprobs",
]
LETTERS = st.characters(max_codepoint=0x7F)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(LETTERS, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    plan=st.sampled_from(
        [
            chat(),
            chat(stop="a", logprobs=True),
            chat(tools=[TOOL], tool_choice="required"),
            chat(functions=[{"name": "f"}]),
            text(logprobs=2, echo=False),
            text(max_tokens=0),
        ]
    ),
    said=st.lists(st.binary(max_size=20) | JSON.map(lambda one: json.dumps(one).encode())),
)
def test_whatever_the_engine_says_ends_in_chunks_or_in_our_error(
    plan: Plan, said: list[bytes]
) -> None:
    """Never in another exception."""
    translated = translation(plan)
    try:
        for chunk in say(translated, *said):
            chunk.model_dump_json()
        end(translated)
    except DeltaweirError:
        return


def test_the_end_waits_for_the_last_count() -> None:
    """Tokens that show no text, such as half a character, are in the count of the last chunk."""
    options = {"continuous_usage_stats": True}
    translated = translation(chat(stream=True, stream_options=options))
    assert len(say(translated, progress(), token("a", 1), finish("length"))) == 2
    last = [*say(translated, counted(4)), *end(translated)]
    assert [chunk.usage.completion_tokens for chunk in last if chunk.usage] == [4, 4]
    assert [chunk.choices[0].finish_reason for chunk in last if chunk.choices] == ["length"]


def test_an_end_without_a_last_count_is_an_end_all_the_same() -> None:
    """A call that returns after its finish reason has ended its answer."""
    translated = translation(chat())
    say(translated, progress(), token("a", 1), finish("stop"))
    assert [c.choices[0].finish_reason for c in end(translated) if c.choices] == ["stop"]
