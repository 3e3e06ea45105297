"""What is kept at hand of a budget: plenty while there is plenty, and nothing near the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.gateway.keys.reserve import Claim, kept, portion, runs_low
from deltaweir.leases import FLOOR_TOKENS, Part, Pot, Share


def share_with(*, left: int, free: int, streams: int = 1) -> tuple[Share, list[Part]]:
    """Return a share of a large budget, and its streams' parts."""
    share = Share(Pot("k", "tokens", "life", 0), 10**9)
    share.left, share.free = left, free
    return share, [Part(share, FLOOR_TOKENS) for _ in range(streams)]


def test_more_is_fetched_when_half_is_taken() -> None:
    """Of what a process may hold; near the end nothing is hoarded."""
    assert runs_low(share_with(left=16_000, free=499)[0])
    assert not runs_low(share_with(left=16_000, free=500)[0])
    assert runs_low(share_with(left=16 * FLOOR_TOKENS, free=0)[0])
    assert not runs_low(share_with(left=16 * FLOOR_TOKENS - 1, free=0)[0])


def test_a_running_stream_s_next_block_is_kept() -> None:
    """A quiet process keeps about a block for its streams, and nothing for none."""
    assert kept(share_with(left=16_000, free=0)[0]) == 250
    assert kept(share_with(left=16_000, free=0, streams=0)[0]) == 0
    assert kept(share_with(left=500, free=0)[0]) == 0


@given(free=st.integers(0, 10**5), left=st.integers(0, 10**7), streams=st.integers(1, 300))
def test_every_stream_finds_something(free: int, left: int, streams: int) -> None:
    """While there is a floor's worth for each, all that ask once get at least that."""
    share, parts = share_with(left=left, free=free, streams=streams)
    for part in parts:
        part.take(portion(part), 0.0)
    assert share.free >= 0
    if free >= streams * FLOOR_TOKENS:
        assert all(part.granted >= FLOOR_TOKENS for part in parts)


def test_a_claim_wants_a_block_more() -> None:
    """Where a part lacks something; a share alone only takes what is due."""
    share, (part,) = share_with(left=0, free=0)
    assert Claim(share, part, 11).want == 10 + FLOOR_TOKENS
    assert Claim(share).want == 0
