"""A stream's account: whose figure holds, at every moment, and what it costs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.meter.account import Account
from deltaweir.meter.meter import Meter
from deltaweir.meter.prices import Price, own_price
from deltaweir.meter.prompt import PromptCount
from deltaweir.meter.tokens import Tokenizer
from deltaweir.schema.chunk import Chunk, PartialUsage, TextChunk, Usage

PROMPT = PromptCount(7, "official", (), ())


class Letters:
    """A tokenizer for which each character is a token."""

    name = "letters"

    def count(self, text: str) -> int:
        """Return the number of characters."""
        return len(text)


class Basis:
    """What a stream is counted and priced by; it remembers what it was asked."""

    def __init__(
        self, *, prompt: PromptCount | None = PROMPT, known: bool = True, price: Any = None
    ) -> None:
        self.given = prompt
        self.known = known
        self.known_price: Price | None = price
        self.asked: list[tuple[str, str | None]] = []

    def tokenizer(self, model: str | None) -> tuple[Tokenizer, bool]:
        """Return the letters."""
        self.asked.append(("tokenizer", model))
        return Letters(), self.known

    def prompt(self, model: str | None) -> PromptCount | None:
        """Return the prompt's count."""
        self.asked.append(("prompt", model))
        return self.given

    def price(self, model: str | None) -> Price | None:
        """Return the price."""
        self.asked.append(("price", model))
        return self.known_price


def chunk(content: str | None = None, *, usage: Any = None, **delta: Any) -> Chunk:
    """Return a chunk with one choice."""
    choice = {"index": 0, "delta": {"content": content, **delta}}
    return Chunk.model_validate({"choices": [choice], "model": "m-1", "usage": usage})


def used(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """Return a usage as a provider sends it."""
    total = prompt + completion
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        **more,
    }


def metered(*chunks: Chunk | TextChunk, basis: Basis | None = None) -> Meter:
    """Return a meter that took these chunks."""
    meter = Meter(basis or Basis())
    for one in chunks:
        meter.take(one)
    return meter


def figures(usage: Usage | None) -> tuple[int | None, int]:
    """Return the tokens read and generated."""
    assert usage is not None
    return usage.prompt_tokens, usage.completion_tokens


def test_nothing_is_asked_before_somebody_reads() -> None:
    """Chunks are taken without a tokenizer, a prompt count or a price."""
    basis = Basis()
    meter = metered(chunk("Hello"), chunk(" you"), basis=basis)
    assert basis.asked == []
    assert meter.account() == Account(
        Usage(prompt_tokens=7, completion_tokens=9, total_tokens=16), "counted", None, 9, None
    )
    assert [what for what, _ in basis.asked] == ["tokenizer", "prompt", "price"]
    assert meter.usage is not None
    assert meter.account().usage == meter.usage
    assert len(basis.asked) == 3


@pytest.mark.parametrize(
    ("one", "tokens"),
    [
        (chunk("abc"), 3),
        (chunk(reasoning_content="abcd"), 4),
        (chunk(refusal="no"), 2),
        (chunk(function_call={"name": "f", "arguments": "{}"}), 3),
        (
            chunk(tool_calls=[{"index": 0, "function": {"name": "fn", "arguments": "{1}"}}]),
            5,
        ),
        (chunk("ab", reasoning_content="c", refusal="d"), 4),
        (chunk(None, role="assistant"), 0),
        (TextChunk.model_validate({"choices": [{"index": 0, "text": "abc"}]}), 3),
        (Chunk(), 0),
    ],
)
def test_every_generated_text_counts(one: Chunk | TextChunk, tokens: int) -> None:
    """Content, reasoning, refusal, names and arguments of calls; a role is nothing."""
    assert figures(metered(one).usage) == (7, tokens)


def test_choices_are_counted_apart_and_summed() -> None:
    """Two choices, and two tool calls of one choice, are texts of their own."""
    choices = [
        {"index": 0, "delta": {"content": "ab"}},
        {"index": 1, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": "xyz"}}]}},
    ]
    meter = metered(Chunk.model_validate({"choices": choices}))
    assert figures(meter.usage) == (7, 5)


@pytest.mark.parametrize(
    "last",
    [
        Chunk.model_validate({"choices": [], "usage": used(11, 4)}),
        Chunk.model_validate({"choices": None, "usage": used(11, 4)}),
        chunk("d", usage=used(11, 4)),
    ],
    ids=["empty choices", "no choices", "with the last text"],
)
def test_a_providers_usage_wins(last: Chunk) -> None:
    """On whatever chunk it comes, and nothing is counted for it."""
    basis = Basis()
    meter = metered(chunk("abc"), last, basis=basis)
    assert figures(meter.usage) == (11, 4)
    assert meter.account().source == "provider"
    assert ("tokenizer", "m-1") not in basis.asked


def test_zero_is_a_figure() -> None:
    """A provider that says zero is believed, and the difference shows it."""
    account = metered(chunk("abc"), Chunk.model_validate({"usage": used(0, 0)})).account(both=True)
    assert (figures(account.usage), account.source) == ((0, 0), "provider")
    assert (account.counted, account.difference) == (3, -3)


@pytest.mark.parametrize("first", ["", "a"])
def test_zeros_while_the_answer_goes_on_are_no_figure(first: str) -> None:
    """LocalAI has them on each chunk, so that a stream which is cut would seem to be free."""
    account = metered(chunk(first, usage=used(0, 0)), chunk("bcd", usage=used(0, 0))).account()
    assert (figures(account.usage), account.source) == ((7, len(first) + 3), "counted")


def test_a_later_usage_overwrites() -> None:
    """Usage in a stream is cumulative: it is never added up."""
    meter = metered(chunk("a", usage=used(5, 1)), chunk("b", usage=used(5, 2)))
    assert figures(meter.usage) == (5, 2)


def test_text_after_a_usage_is_counted_on_top() -> None:
    """A stream that breaks off behind an early usage loses nothing of what came after."""
    meter = metered(chunk("abc", usage=used(5, 10)), chunk("de"))
    account = meter.account()
    assert (figures(account.usage), account.source) == ((5, 12), "counted")
    assert account.usage is not None
    assert account.usage.total_tokens == 17
    assert account.reported is not None
    assert account.reported.completion_tokens == 10
    meter.take(Chunk.model_validate({"usage": used(5, 13)}))
    assert meter.account().source == "provider"


def test_both_figures_and_their_difference_are_kept() -> None:
    """After a provider's word our own count is there for who asks."""
    account = metered(chunk("abc"), Chunk.model_validate({"usage": used(5, 8)})).account(both=True)
    assert (account.counted, account.difference) == (3, 5)
    assert account.reported == account.usage


@pytest.mark.parametrize(
    ("basis", "source"),
    [
        (Basis(), "counted"),
        (Basis(known=False), "estimated"),
        (Basis(prompt=PROMPT._replace(source="observed")), "counted"),
        (Basis(prompt=PROMPT._replace(source="estimated")), "estimated"),
    ],
)
def test_a_count_says_how_sure_it_is(basis: Basis, source: str) -> None:
    """An unknown model, or a prompt nobody can count, makes it an estimate."""
    assert metered(chunk("a"), basis=basis).account().source == source


def test_without_a_prompt_only_the_answer_is_known() -> None:
    """Neither its tokens, nor the sum, nor the cost are made up."""
    basis = Basis(prompt=None, price=own_price("m", {"input": 1, "output": 1}))
    account = metered(chunk("abc"), basis=basis).account()
    assert account.usage == PartialUsage(completion_tokens=3)
    assert account.usage is not None
    assert account.usage.prompt_tokens is None
    assert account.usage.total_tokens is None
    assert (account.cost_pico, account.cost_usd) == (None, None)


def test_money() -> None:
    """The price is asked once, by the model's name, and is exact."""
    basis = Basis(price=own_price("m", {"input": 1, "output": 2}))
    meter = metered(chunk("abc"), basis=basis)
    assert meter.account().cost_pico == 7 * 1_000_000 + 3 * 2_000_000
    assert meter.account().cost_usd == pytest.approx(0.000013, abs=1e-15)
    assert [what for what, _ in basis.asked].count("price") == 1


class Some(Basis):
    """A basis that knows some models."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def tokenizer(self, model: str | None) -> tuple[Tokenizer, bool]:
        """Return the letters, known for some."""
        self.asked.append(("tokenizer", model))
        return Letters(), model in self.names

    def price(self, model: str | None) -> Price | None:
        """Return the price of those that are known."""
        self.asked.append(("price", model))
        return own_price("m", {"input": 1, "output": 1}) if model in self.names else None


@pytest.mark.parametrize(
    ("asked", "known", "taken", "source"),
    [
        ("asked", ["asked", "m-1"], "asked", "counted"),
        ("alias", ["m-1"], "m-1", "counted"),
        (None, ["m-1"], "m-1", "counted"),
        ("alias", [], "alias", "estimated"),
        (None, [], "m-1", "estimated"),
    ],
)
def test_the_model_is_the_one_that_is_known(
    asked: str | None, known: list[str], taken: str, source: str
) -> None:
    """The name that was asked for, or where nobody knows it, the one that chunks bear."""
    basis = Some(*known)
    meter = Meter(basis, model=asked)
    meter.take(chunk("abc"))
    account = meter.account()
    assert account.source == source
    assert account.cost_pico == (10_000_000 if known else None)
    assert ("prompt", taken) in basis.asked


def test_an_empty_stream_has_a_prompt_all_the_same() -> None:
    """Before the first chunk the prompt is what there is."""
    assert figures(Meter(Basis()).usage) == (7, 0)


PIECES = st.lists(
    st.one_of(
        st.text(max_size=5).map(chunk),
        st.text(max_size=5).map(lambda text: chunk(reasoning_content=text)),
        st.integers(0, 20).map(lambda n: Chunk.model_validate({"usage": used(3, n)})),
    )
)


@given(PIECES, st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_looking_and_condensing_change_nothing(
    chunks: list[Chunk], looks: set[int], condensed: set[int]
) -> None:
    """However often it is read or joined on the way, the account is the same."""
    meter, plain = Meter(Basis(), model="m"), Meter(Basis(), model="m")
    for at, one in enumerate(chunks):
        meter.take(one)
        plain.take(one)
        if at in condensed:
            meter.condense()
        if at in looks:
            assert meter.account(both=True).usage == meter.usage
    assert meter.account(both=True) == plain.account(both=True)


def test_condensing_keeps_what_waits_small() -> None:
    """A thousand pieces of one text become one."""
    meter = metered(*[chunk("ab")] * 1000)
    meter.condense()
    assert meter.backlog == 1
    assert figures(meter.usage) == (7, 2000)
    assert meter.backlog == 0


def test_a_service_tier_has_its_own_price() -> None:
    """The chunks say which tier served the request, and that tier's price holds."""
    dear = own_price("m", {"input": 2, "output": 2})
    price = msgspec.structs.replace(
        own_price("m", {"input": 1, "output": 1}), services=(("priority", dear),)
    )
    meter = metered(chunk("abc"), basis=Basis(price=price))
    assert meter.account().cost_pico == 10_000_000
    meter.take(Chunk(service_tier="priority"))
    assert meter.account().cost_pico == 20_000_000


def test_a_look_before_the_first_chunk_settles_nothing() -> None:
    """Where the chunks tell the model, an early look does not fix tokenizer, prompt or price."""
    basis = Basis(known=True, price=own_price("m", {"input": 1, "output": 2}))
    meter = Meter(basis)
    assert meter.account().source == "counted"
    meter.take(chunk("abc"))
    assert meter.account().usage == meter.usage
    asked = basis.asked
    for what in ("tokenizer", "prompt", "price"):
        assert [model for name, model in asked if name == what] == [None, "m-1"]


def test_a_stream_that_names_no_model_is_settled_by_its_text() -> None:
    """A text is counted by one tokenizer from its first piece to its last."""
    basis = Basis()
    meter = Meter(basis)
    meter.take(Chunk.model_validate({"choices": [{"index": 0, "delta": {"content": "ab"}}]}))
    assert figures(meter.usage) == (7, 2)
    meter.take(chunk("c"))
    assert figures(meter.usage) == (7, 3)
    assert [what for what, _ in basis.asked].count("tokenizer") == 1


def test_condensing_keeps_a_running_usage_small() -> None:
    """A usage on every chunk overwrites the one before, so that one span is kept."""
    meter = metered(*[chunk("ab", usage=used(5, at)) for at in range(1000)], chunk("c"))
    meter.condense()
    assert meter.backlog == 2
    account = meter.account(both=True)
    assert (figures(account.usage), account.counted, meter.hidden) == ((5, 1000), 2001, 0)


@pytest.mark.parametrize("condensed", [False, True])
def test_hidden_tokens_are_those_no_text_showed(condensed: bool) -> None:
    """Until the usage came; what comes after is no part of it."""
    meter = metered(chunk("abc"))
    assert meter.hidden == 0
    meter.take(chunk("d", usage=used(5, 10)))
    meter.take(chunk("ef"))
    if condensed:
        meter.condense()
    assert meter.hidden == 6
    assert metered(chunk("abc", usage=used(5, 2))).hidden == 0


def test_texts_that_come_without_a_chunk() -> None:
    """What takes them stays good while they are counted and condensed, until a usage comes."""
    meter, plain = Meter(Basis()), Meter(Basis())
    take = meter.taking(0)
    for at, text in enumerate([" the", " cat", " sat", "s", " on", " it"]):
        take(text)
        plain.take(chunk(text))
        take = meter.taking(0) if at == 0 else take  # the first text of a choice makes its list
        if at % 2:
            meter.condense()
        elif at:
            assert meter.usage == plain.usage
    assert meter.usage == plain.usage
    meter.take(chunk(usage=used(7, 6)))
    meter.taking(0)
    assert meter.account().source == "provider"
