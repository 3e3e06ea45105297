"""What keys may do: texts become terms or errors that help, and windows meet without a gap."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.allowances import (
    KEY,
    KeyRecord,
    KeyTerms,
    Period,
    Quota,
    a_minute,
    digest_of,
    expiry_of,
    models_of,
    name_of,
    quotas_of,
    window_end,
    window_of,
)
from deltaweir.errors import InvalidRequest

NOON = 1_795_521_600.0  # 2026-11-24 12:00 in UTC
DAY = 86_400
SECRET = "A" * 43


@pytest.mark.parametrize(
    ("text", "quotas"),
    [
        ("400tok", [Quota("tokens", 400)]),
        ("400 tokens/day", [Quota("tokens", 400, "day")]),
        ("5usd/month", [Quota("pico", 5 * 10**12, "month")]),
        ("0.02usd, 1tok/day", [Quota("pico", 2 * 10**10), Quota("tokens", 1, "day")]),
        ("1tok,1tok/day,1tok/month", [Quota("tokens", 1, p) for p in ("life", "day", "month")]),
    ],
)
def test_budgets(text: str, quotas: list[Quota]) -> None:
    """A text names one budget or several, each of its own kind."""
    assert list(quotas_of([text])) == quotas
    assert list(quotas_of(text.split(","))) == quotas


@given(
    quotas=st.lists(
        st.builds(
            Quota,
            st.sampled_from(["tokens", "pico"]),
            st.integers(1, 2**62),
            st.sampled_from(["life", "day", "month"]),
        ),
        unique_by=lambda quota: (quota.unit, quota.period),
        min_size=1,
    )
)
def test_a_budget_reads_as_it_is_written(quotas: list[Quota]) -> None:
    """What is shown of a budget is a text that stands for the same budget."""
    assert list(quotas_of([str(quota) for quota in quotas])) == quotas


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "such as 400tok"),
        ("5eur", "'5eur'"),
        ("400tok/week", "'400tok/week'"),
        ("400tok/", "400tok, 5usd/month"),
        ("1.5tok", "such as"),
        ("0tok", "for nothing"),
        ("0usd/day", "for nothing"),
        ("400tok,", "got a budget ''"),
        ("1tok/day,2tok/day", "two budgets of one kind: 1tok/day and 2tok/day"),
        ("9" * 30 + "usd", "such as"),
    ],
)
def test_no_budgets(text: str, words: str) -> None:
    """What is no budget is refused, and the error shows what is."""
    with pytest.raises(InvalidRequest) as refused:
        quotas_of([text])
    assert words in str(refused.value)
    assert refused.value.param == "budget"


@pytest.mark.parametrize(
    ("patterns", "allowed", "refused"),
    [
        ((), ["a", "openai/b"], []),
        (("a", "b"), ["a", "b"], ["c", "ab", ""]),
        (("openai/*", "a"), ["openai/x", "openai/", "a"], ["openai", "other/x"]),
        (("*",), ["a", ""], []),
    ],
)
def test_models(patterns: tuple[str, ...], allowed: list[str], refused: list[str]) -> None:
    """A key without models may use all, else those it names, or whose beginning it names."""
    terms = KeyTerms(models=patterns)
    assert all(terms.permit(model) for model in allowed)
    assert not any(terms.permit(model) for model in refused)


def test_models_are_named_with_commas() -> None:
    """Each is named once, and one with a star inside is refused."""
    assert models_of(["a, b", "a,openai/*"]) == ("a", "b", "openai/*")
    for wrong in ("a,,b", "", "a b", "*/a", "a**"):
        with pytest.raises(InvalidRequest, match=r"openai/\*"):
            models_of([wrong])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("90m", NOON + 5400),
        ("12h", NOON + DAY / 2),
        ("30d", NOON + 30 * DAY),
        ("4w", NOON + 28 * DAY),
        ("2026-11-25", NOON + DAY / 2),
        ("2026-11-24T13:00", NOON + 3600),
    ],
)
def test_expiry(text: str | None, moment: float | None) -> None:
    """A key expires after a time, or at the beginning of a day in UTC."""
    assert expiry_of(text, NOON) == moment


@pytest.mark.parametrize("text", ["", " ", "30", "30 days", "tomorrow", "2026-13-01"])
def test_no_expiry(text: str) -> None:
    """What is no time is refused, and the error shows what is."""
    with pytest.raises(InvalidRequest, match="30d or 12h, or a date such as 2026-12-31"):
        expiry_of(text, NOON)


@pytest.mark.parametrize("text", ["0d", "2026-11-24", "2020-01-01"])
def test_a_past_expiry(text: str) -> None:
    """A key that would be expired at once is refused."""
    with pytest.raises(InvalidRequest, match="is past"):
        expiry_of(text, NOON)


def test_figures_and_names() -> None:
    """A rate is at least one a minute, a name has a letter and can be printed."""
    assert (a_minute(None, param="rpm"), a_minute(1, param="rpm")) == (None, 1)
    for wrong in (0, -1, 10**12 + 1):
        with pytest.raises(InvalidRequest, match=f"got rpm {wrong}"):
            a_minute(wrong, param="rpm")
    assert name_of("  alice ") == "alice"
    for name in ("", "   ", "a\nb", "\x1b[1m", "a" * 65):
        with pytest.raises(InvalidRequest, match="1 to 64"):
            name_of(name)


@given(now=st.floats(0, 4e9), period=st.sampled_from(["day", "month"]))
def test_windows_meet(now: float, period: Period) -> None:
    """Each moment lies in one window, whose end begins the next."""
    began = window_of(period, now)
    end = window_end(period, began)
    assert end is not None
    assert began <= now < end
    assert window_of(period, end - 1) == began
    assert window_of(period, end) == end
    first = datetime.fromtimestamp(began, tz=UTC)
    assert (first.hour, first.minute, first.second) == (0, 0, 0)
    assert period == "day" or first.day == 1


def test_a_life_has_no_end() -> None:
    """A budget for life has one window."""
    assert (window_of("life", 0), window_of("life", NOON), window_end("life", 0)) == (0, 0, None)


def test_a_key_has_one_form() -> None:
    """Twelve hexadecimal digits and 43 characters, and nothing around them."""
    key = f"dw-4f1c09ab27de-{SECRET}"
    found = KEY.fullmatch(key)
    assert found is not None
    assert found["id"] == "4f1c09ab27de"
    for wrong in (key + "A", key[:-1], key.upper(), f" {key}", key + "\n", "sk-123", ""):
        assert KEY.fullmatch(wrong) is None


def test_a_record_tells_no_secret() -> None:
    """Neither a key nor what is kept of it is shown; the state depends on the time."""
    digest = digest_of(b"dw-key")
    terms = KeyTerms(expires=NOON)
    record = KeyRecord(id="i", digest=digest, name="n", terms=terms, created=0)
    assert repr(record) == "KeyRecord(id='i', name='n')"
    assert len(digest) == 32
    assert [record.state(NOON - 1), record.state(NOON)] == ["active", "expired"]
    revoked = KeyRecord(id="i", digest=digest, name="n", terms=KeyTerms(), created=0, revoked=1)
    assert revoked.state(NOON) == "revoked"
