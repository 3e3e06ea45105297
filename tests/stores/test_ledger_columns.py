"""What of a batch counts is the same as the whole batch."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stores.ledgers import TOLD

from deltaweir.accounts import Attempt, Entry
from deltaweir.stores.ledger_columns import UPSERTS, merged, upstream_of, values
from deltaweir.stores.sqlite import SqliteLedger


@given(told=TOLD, data=st.data())
@settings(deadline=None)
def test_what_is_merged_comes_to_the_same(told: list[Entry], data: st.DataObject) -> None:
    """One entry at most is left for each row, and the ledger has the same rows as with all."""
    batch = data.draw(st.lists(st.sampled_from(told), min_size=1))
    left = merged(batch)
    with SqliteLedger(":memory:") as whole, SqliteLedger(":memory:") as short:
        whole.write(batch)
        for entries in left.values():
            short.write(entries)
        assert short.rows() == whole.rows()
    for entries in left.values():
        rows = [_row(entry) for entry in entries]
        assert len(rows) == len(set(rows))


def _row(entry: Entry) -> Any:
    return (entry.stream_id, entry.number) if isinstance(entry, Attempt) else entry.stream_id


@given(told=TOLD)
def test_each_column_has_a_value(told: list[Entry]) -> None:
    """An entry tells as many values as its statement has columns, its stream's id first."""
    for entry in told:
        found = values(entry, "w")
        assert len(found) == len(UPSERTS[type(entry)].columns)
        assert found[0] == entry.stream_id


def test_the_embedded_model_is_no_upstream() -> None:
    """An attempt of the embedded model names none, whatever the model."""
    assert [upstream_of(name) for name in (None, "openai", "embedded smollm2")] == [
        None,
        "openai",
        None,
    ]
