"""The outbox: a stream's chunks as frames, in their order, the account on the last of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hiding import Hiding

from deltaweir.errors import StreamTruncated
from deltaweir.gateway.runs.outbox import Outbox
from deltaweir.meter.account import COUNTED, PROVIDER, Account
from deltaweir.schema.chunk import AnyChunk, Chunk, Usage
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk, Forwarder
from deltaweir.weir import Weir
from deltaweir.wire.sse import Decoder

OURS = Usage(completion_tokens=3, prompt_tokens=4, total_tokens=7)
THEIRS = Usage(completion_tokens=5, prompt_tokens=4, total_tokens=9)


class Stream:
    """A stream whose provider tells its usage when it likes.

    Attributes:
        reported: What the provider has told.
        told: What a guard has told.
    """

    quick_account = True

    def __init__(self) -> None:
        self.reported: Usage | None = None
        self.told: dict[str, Any] = {}

    @property
    def usage(self) -> Usage:
        """Return the best there is."""
        return self.reported or OURS

    def account(self) -> Account:
        """Return the account at this moment."""
        source = COUNTED if self.reported is None else PROVIDER
        return Account(self.usage, source, 2 * 10**12, 3, self.reported)


def outbox(
    stream: Stream | None = None,
    *,
    annotate: bool = True,
    usage_asked: bool = False,
    patient: bool = True,
) -> Outbox:
    """Return an outbox."""
    return Outbox(stream or Stream(), annotate=annotate, usage_asked=usage_asked, patient=patient)


def raw(content: str = "", end: str | None = None, index: int = 0, **more: Any) -> bytes:
    """Return a chunk as a provider writes it."""
    delta = {"content": content} if content else {}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": end}
    return json.dumps({"id": "c1", "choices": [choice], **more}).encode()


def read(data: bytes, *, guarded: bool = False) -> Any:
    """Return a chunk that remembers its bytes."""
    return Forwarder(ForwardedChunk, guarded=guarded).read(data)


def frame(data: bytes) -> bytes:
    """Return data as a frame."""
    return b"data: %b\n\n" % data


def decoded(frames: Sequence[bytes]) -> list[Any]:
    """Return what frames say."""
    return [json.loads(event.data) for event in Decoder().feed(b"".join(frames))]


def accounts(frames: Sequence[bytes]) -> list[Any]:
    """Return who says the usage on each frame; None where there is no account."""
    return [said.get("deltaweir", {}).get("source") for said in decoded(frames)]


# --- what waits ------------------------------------------------------------------------------


def test_an_end_waits_for_the_providers_usage() -> None:
    """It goes out as soon as the usage is known, with that, though no chunk is shown with it."""
    stream = Stream()
    box = outbox(stream)
    assert box.frames([read(raw("a"))]) == [frame(raw("a"))]
    assert box.frames([read(raw(end="stop"))]) == []
    stream.reported = THEIRS
    (last,) = decoded(box.frames([]))
    assert last["deltaweir"] == {
        "usage": THEIRS.model_dump(),
        "cost_usd": 2.0,
        "source": "provider",
    }
    assert box.frames([]) == box.rest() == []


def test_an_end_whose_usage_is_known_waits_for_nothing() -> None:
    """Some providers tell it on the same chunk, or on each."""
    stream = Stream()
    stream.reported = THEIRS
    assert accounts(outbox(stream).frames([read(raw(end="stop"))])) == ["provider"]


def test_the_streams_end_releases_what_waits() -> None:
    """A provider that tells nothing costs no chunk; the account is ours."""
    box = outbox()
    assert box.frames([read(raw("a")), read(raw(end="stop"))]) == [frame(raw("a"))]
    assert accounts(box.rest()) == ["counted"]
    assert box.rest() == []


@pytest.mark.parametrize("together", [False, True])
def test_another_chunk_releases_what_waits(together: bool) -> None:
    """With several choices, or after a usage that never comes, the end is not put behind it."""
    box = outbox()
    first, second = read(raw(end="stop")), read(raw("b", index=1))
    if together:
        frames = box.frames([first, second])
    else:
        assert box.frames([first]) == []
        frames = box.frames([second])
    assert accounts(frames) == ["counted", None]
    assert frames[1] == frame(raw("b", index=1))


def test_a_chunk_of_several_choices_releases_what_waits() -> None:
    """Also where none of them ends."""
    box = outbox()
    assert box.frames([read(raw(end="stop"))]) == []
    fields = json.loads(raw("b", index=1))
    fields["choices"] += json.loads(raw("c", index=2))["choices"]
    data = json.dumps(fields).encode()
    frames = box.frames([read(data)])
    assert accounts(frames) == ["counted", None]
    assert frames[1] == frame(data)


@pytest.mark.parametrize("known", [False, True])
def test_the_ends_of_several_choices_keep_their_order(known: bool) -> None:
    """Both wait, and none overtakes the other when the usage comes with the second."""
    stream = Stream()
    box = outbox(stream)
    frames = box.frames([read(raw(end="stop", index=1))])
    if known:
        stream.reported = THEIRS
    frames += box.frames([read(raw(end="length"))])
    assert len(frames) == (2 if known else 0)
    stream.reported = THEIRS
    frames += box.frames([])
    assert [said["choices"][0]["index"] for said in decoded(frames)] == [1, 0]
    assert accounts(frames) == ["provider", "provider"]


def test_the_end_of_the_first_choice_is_the_streams() -> None:
    """Whichever choice ends first, what counts is how choice 0 ended, once it has."""
    box = outbox()
    assert box.finish_reason is None
    box.frames([read(raw(end="length", index=1))])
    assert box.finish_reason == "length"
    box.frames([read(raw(end="stop"))])
    assert box.finish_reason == "stop"
    box.frames([read(raw(end="length", index=2))])
    assert box.finish_reason == "stop"


@pytest.mark.parametrize(
    "options", [{"annotate": False}, {"usage_asked": True}, {"patient": False}], ids=str
)
def test_an_end_that_bears_no_providers_account_does_not_wait(options: dict[str, bool]) -> None:
    """Without an account, with one on the usage chunk, or from a source that counts itself."""
    (last,) = outbox(**options).frames([read(raw(end="stop"))])  # type: ignore[arg-type]
    assert (last == frame(raw(end="stop"))) is ("patient" not in options)
    assert accounts([last]) == ["counted" if "patient" in options else None]


# --- the account -----------------------------------------------------------------------------


def test_who_asked_for_usage_has_the_account_there() -> None:
    """It is on the chunk without choices, and on no other."""
    stream = Stream()
    box = outbox(stream, usage_asked=True)
    usage = json.dumps({"id": "c1", "choices": [], "usage": THEIRS.model_dump()}).encode()
    stream.reported = THEIRS
    frames = box.frames([read(raw("a")), read(raw(end="stop")), read(usage)])
    assert frames[:2] == [frame(raw("a")), frame(raw(end="stop"))]
    assert frames[2].startswith(b"data: " + usage[:-1] + b',"deltaweir":{')
    assert accounts(frames) == [None, None, "provider"]


def test_without_annotation_nothing_is_added() -> None:
    """Each chunk goes out as it came, usage and all."""
    box = outbox(annotate=False)
    datas = [raw("a"), raw(end="stop"), raw("b", end="stop", usage={"completion_tokens": 1})]
    assert box.frames([read(data) for data in datas]) == [frame(data) for data in datas]


def test_an_account_is_one_splice() -> None:
    """All that a provider wrote stands as it was, unknown fields and blanks included."""
    data = raw("bye", end="stop", x={"a": [1.0, "\u00e9"]})
    (last,) = outbox(patient=False).frames([read(data)])
    assert last.startswith(b"data: " + data[:-1] + b',"deltaweir":{"usage":{')
    assert decoded([last])[0] | {"deltaweir": 0} == json.loads(data) | {"deltaweir": 0}


def test_a_chunk_without_bytes_has_the_account_too() -> None:
    """What a weir has made, and what does not end as JSON does, is encoded with it."""
    made = ForwardedChunk.model_validate(json.loads(raw(end="length")))
    frames = outbox(patient=False).frames([made, read(raw(end="stop") + b" ")])
    assert accounts(frames) == ["counted", "counted"]
    assert [said["choices"][0]["finish_reason"] for said in decoded(frames)] == ["length", "stop"]


def test_the_account_of_one_behind_us_gives_way_to_ours() -> None:
    """There is one account on a chunk; what the other told of the stream is kept."""
    theirs = {"source": "engine", "stopped_by": "guard"}
    stream = Stream()
    box = outbox(stream, patient=False)
    stream.told = {"withheld_chars": 2}
    (last,) = box.frames([read(raw(end="stop", deltaweir=theirs))])
    assert last.count(b"deltaweir") == 1
    assert decoded([last])[0]["deltaweir"] == box.account()
    assert box.account()["withheld_chars"] == 2
    assert box.said == theirs


def test_an_error_tells_what_was_used() -> None:
    """It has the usage so far beside OpenAI's own four keys."""
    (said,) = decoded([outbox().error(StreamTruncated("too early"))])
    assert said["error"]["code"] == "upstream_truncated"
    assert said["deltaweir"]["usage"] == OURS.model_dump()


# --- what a guard or a budget has changed ----------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        raw("my secret!"),
        raw("my secret!", x=5),
        raw("my secret!", x="other words"),
        raw("my secret!", usage={"completion_tokens": 1}),
        raw("my secret!", end="stop"),
        raw("my secret!", deltaweir={"source": "engine"}),
        raw("my secret!").replace(b'"content"', b'"role": "assistant", "content"'),
        raw("my secret!").replace(b'"content"', b'"refusal": "a secret", "content"'),
        raw("my secret!").replace(b'"content"', b'"x": "secret", "content"'),
        raw("my secret!").replace(b'"content"', b'"conten\\u0074"'),
        raw("my secret!").replace(b', "finish_reason": null', b""),
    ],
)
@pytest.mark.parametrize("annotate", [False, True])
def test_nothing_goes_out_that_was_taken_out(data: bytes, annotate: bool) -> None:
    """Neither as text, nor as bytes of what came, whatever else the chunk brings."""
    weir: Weir[Any] = Weir(ForwardedChunk, guard=Hiding("secret"))
    box = outbox(annotate=annotate)
    forwarder = Forwarder(ForwardedChunk, guarded=True)
    for _ in range(2):  # by what was learned of the first, too
        frames = [*box.frames(weir.feed(forwarder.read(data), 0.0)), *box.rest()]
        for said in decoded(frames):
            assert "secret" not in str(said)
            assert set(said) <= {*json.loads(data), "object", "created", "model", "deltaweir"}
            if said["choices"][0]["delta"].get("content"):
                assert said["choices"][0]["delta"]["content"] == "my ******!"


# --- whatever comes --------------------------------------------------------------------------

EVENT = st.tuples(
    st.sampled_from(["say", "say", "end", "usage", "made"]), st.integers(0, 2), st.booleans()
)


@given(st.lists(EVENT, max_size=12), st.booleans(), st.booleans(), st.booleans())
def test_every_chunk_goes_out_once_in_its_order(
    events: list[tuple[str, int, bool]], annotate: bool, asked: bool, patient: bool
) -> None:
    """However chunks, ends and the usage come, no frame is lost, doubled or overtaken."""
    stream = Stream()
    box = outbox(stream, annotate=annotate, usage_asked=asked, patient=patient)
    frames, batch, sent = list[bytes](), list[AnyChunk](), list[str]()
    for at, (what, index, together) in enumerate(events):
        text = f"t{at}"
        if what == "usage":
            stream.reported = THEIRS
        else:
            end = "stop" if what == "end" else None
            chunk = read(raw(text, end=end, index=index))
            if what == "made":
                chunk.raw = None
            batch.append(chunk)
            sent.append(text)
        if not together:
            frames += box.frames(batch)
            batch = []
    frames += [*box.frames(batch), *box.rest()]
    said = decoded(frames)
    assert [one["choices"][0]["delta"]["content"] for one in said] == sent
    for one in said:
        ended = one["choices"][0]["finish_reason"] is not None
        assert ("deltaweir" in one) is (ended and annotate and not asked)


@pytest.mark.parametrize("kind", [Chunk, ForwardedChunk, ForwardedTextChunk])
def test_chunks_of_every_kind_become_frames(kind: Any) -> None:
    """Those of an embedded model, which came as no bytes, and those of either endpoint."""
    choice = {"index": 0, "finish_reason": "stop", "text": "a", "delta": {"content": "a"}}
    del choice["delta" if kind is ForwardedTextChunk else "text"]
    (said,) = decoded(outbox(patient=False).frames([kind.model_validate({"choices": [choice]})]))
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["deltaweir"]["source"] == "counted"
