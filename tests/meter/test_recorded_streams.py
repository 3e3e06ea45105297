"""Recorded provider streams: our count beside the provider's own, as docs/counting.md shows it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deltaweir.adapters.encodings import encoding_of
from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.meter.account import Account
from deltaweir.meter.meter import Meter
from deltaweir.meter.prices import Price
from deltaweir.meter.prompt import PromptCount
from deltaweir.meter.tokens import Tokenizer
from deltaweir.schema.chunk import Chunk
from deltaweir.wire.sse import Decoder

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "recorded_streams.json"
GUIDE = Path(__file__).parents[2] / "docs" / "counting.md"


class Figures(NamedTuple):
    """Generated tokens of one stream."""

    provider: int
    counted: int


PINNED = {
    "plain text": Figures(30, 30),
    "refusal": Figures(11, 10),
    "content logprobs": Figures(2, 2),
    "max_tokens reached": Figures(1, 1),
    "n=3 structured output": Figures(42, 42),
    "one tool call": Figures(24, 17),
}
"""What stands in the table of docs/counting.md."""


class OwnVocabulary:
    """What a stream is counted by: its model's vocabulary, without a prompt or a price."""

    def tokenizer(self, model: str | None) -> tuple[Tokenizer, bool]:
        """Return the tokenizer of the model that the chunks name."""
        encoding = encoding_of(model)
        return tokenizer_of(encoding.name), encoding.known

    def prompt(self, model: str | None) -> PromptCount | None:
        """Return None: recordings have no prompt."""

    def price(self, model: str | None) -> Price | None:
        """Return None: nobody pays twice."""


def recorded() -> list[dict[str, Any]]:
    """Return the recorded streams that carry a usage, none where they are not at hand."""
    if not RECORDED.exists():
        return []
    streams: list[dict[str, Any]] = json.loads(RECORDED.read_bytes())["streams"]
    return [stream for stream in streams if stream.get("usage")]


def chunks_of(stream: dict[str, Any]) -> list[Chunk]:
    """Return the chunks of a recording."""
    events = Decoder().feed(base64.b64decode(stream["input_b64"]))
    assert events[-1].data == b"[DONE]"
    return [Chunk.model_validate_json(event.data) for event in events[:-1]]


def accounted(chunks: Sequence[Chunk]) -> Account:
    """Return the account of a stream that had these chunks."""
    meter = Meter(OwnVocabulary())
    for chunk in chunks:
        meter.take(chunk)
    return meter.account(both=True)


at_hand = pytest.mark.skipif(
    not RECORDED.exists(), reason="the recordings lie beside the repository only"
)


@at_hand
def test_every_recording_with_a_usage_is_pinned() -> None:
    """No recording is left out of the table."""
    assert {str(stream["name"]) for stream in recorded()} == set(PINNED)


@at_hand
@pytest.mark.parametrize("stream", recorded(), ids=lambda stream: str(stream["name"]))
def test_the_provider_wins_and_both_are_kept(stream: dict[str, Any]) -> None:
    """At the end the provider's figure holds, ours stands beside it, and both are as pinned."""
    account = accounted(chunks_of(stream))
    assert account.usage is not None
    assert account.source == "provider"
    assert Figures(account.usage.completion_tokens, account.counted or 0) == PINNED[stream["name"]]
    assert account.usage.total_tokens == stream["usage"]["total_tokens"]


@at_hand
@pytest.mark.parametrize("stream", recorded(), ids=lambda stream: str(stream["name"]))
def test_before_the_provider_tells_our_count_is_there(stream: dict[str, Any]) -> None:
    """Wherever the stream breaks off there is a count; it grows, and at the end it is whole."""
    chunks = [chunk for chunk in chunks_of(stream) if chunk.usage is None]
    counts = [accounted(chunks[:length]).counted or 0 for length in range(len(chunks) + 1)]
    assert counts == sorted(counts)
    assert counts[-1] == PINNED[stream["name"]].counted
    account = accounted(chunks)
    assert account.usage is not None
    assert (account.usage.completion_tokens, account.source) == (counts[-1], "counted")


def test_the_guide_shows_these_figures() -> None:
    """The table of docs/counting.md has each recording with both figures and the difference."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in GUIDE.read_text("utf-8").splitlines()
        if line.startswith("|")
    ]
    shown = {row[0]: row[1:4] for row in rows if row[0] in PINNED}
    expected = {
        name: [str(provider), str(counted), f"{provider - counted:+}".replace("+0", "0")]
        for name, (provider, counted) in PINNED.items()
    }
    assert shown == expected
