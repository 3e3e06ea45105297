"""What a stream cost: by our prices, or as a server of ours says."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir import Client
from deltaweir.testing import Peer, chat_events, stream_answer

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("model", "said", "cost"),
    [
        ("nobody-knows-it", b'{"cost_usd":0.25}', 0.25),
        ("nobody-knows-it", b'{"cost_usd":0.0}', 0.0),
        ("nobody-knows-it", b'{"cost_usd":null}', None),
        ("nobody-knows-it", b'{"cost_usd":"1"}', None),
        ("nobody-knows-it", b'{"cost_usd":true}', None),
        ("nobody-knows-it", b'{"cost_usd":-1}', None),
        ("nobody-knows-it", b"{}", None),
    ],
)
def test_a_gateways_word_counts_where_we_know_no_price(
    model: str, said: bytes, cost: float | None
) -> None:
    """What is no amount is not believed; unknown is never zero."""
    *events, finish, done = chat_events("Hi", model=model)
    assert isinstance(finish, bytes)
    told = finish[: finish.rindex(b"}")] + b',"deltaweir":%b}\n\n' % said
    with (
        Peer(stream_answer([*events, told, done])) as peer,
        Client(base_url=peer.base_url, api_key="x") as client,
        client.chat.completions.create(model=model, messages=HELLO, stream=True) as stream,
    ):
        for _ in stream:
            pass
        assert stream.complete
        assert stream.cost == cost
