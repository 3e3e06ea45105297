"""Journals in memory: bounded in bytes and in age."""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.journal import Journal
from deltaweir.stores.memory import LEAST_BYTES, MemoryJournals


class Kept(NamedTuple):
    """A journal, and nothing else."""

    journal: Journal


def filled(size: int) -> Kept:
    """Return a journal with so many bytes."""
    kept = Kept(Journal())
    for _ in range(size // 1024):
        kept.journal.append(b"x" * 1024)
    return kept


def test_a_journal_is_kept_for_a_while_after_its_end() -> None:
    """It is found while its stream runs, and until it is too old."""
    journals = MemoryJournals[Kept](ttl_s=10, most_bytes=2**20)
    kept = filled(1024)
    journals.begin("a", kept)
    journals.tidy(1000.0)
    assert journals.get("a") is kept
    journals.end("a", 1000.0)
    journals.tidy(1009.9)
    assert journals.get("a") is kept
    journals.tidy(1010.0)
    assert journals.get("a") is None
    assert len(journals) == 0


def test_without_a_time_nothing_is_kept() -> None:
    """A stream is gone with its end."""
    journals = MemoryJournals[Kept](ttl_s=0, most_bytes=2**20)
    journals.begin("a", filled(1024))
    journals.end("a", 0.0)
    assert journals.get("a") is None


def test_what_ended_first_goes_first() -> None:
    """Running streams keep what they have as long as ended ones can give way."""
    journals = MemoryJournals[Kept](ttl_s=100, most_bytes=300 * 1024)
    for name in "abc":
        journals.begin(name, filled(128 * 1024))
    journals.end("b", 1.0)
    journals.end("a", 2.0)
    journals.tidy(3.0)
    assert [name for name in "abc" if journals.get(name)] == ["a", "c"]


def test_too_much_that_runs_becomes_shorter() -> None:
    """All running streams share what there is; none is shortened to nothing."""
    journals = MemoryJournals[Kept](ttl_s=100, most_bytes=256 * 1024)
    kept = [filled(256 * 1024) for _ in range(3)]
    for number, one in enumerate(kept):
        journals.begin(str(number), one)
    journals.tidy(0.0)
    assert all(LEAST_BYTES / 2 < one.journal.bytes <= 256 * 1024 / 3 for one in kept)


def test_an_unknown_end_is_nothing() -> None:
    """A stream that was never kept ends without a trace."""
    journals = MemoryJournals[Kept](ttl_s=100, most_bytes=2**20)
    journals.end("a", 0.0)
    assert len(journals) == 0
