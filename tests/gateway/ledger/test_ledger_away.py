"""A gateway whose database is away: it starts, serves, says so, and leaves what waits on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.gateway.conftest import CHAT, request, served, until
from tests.gateway.fronts import asked, refusing

from deltaweir.accounts import Opened, Tally
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
)
from deltaweir.gateway.ledger.ledger import Ledger
from deltaweir.stores.spool import Spool
from deltaweir.testing import unused_port

pytest.importorskip("psycopg", reason="needs the package's extra postgres")


def _ledger(folder: Path) -> LedgerConfig:
    url = f"postgresql://nobody:secret@127.0.0.1:{unused_port()}/nowhere"
    return LedgerConfig(url=url, spool=str(folder / "spool"))


def test_it_serves_and_says_what_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ready all the same; the metric is 0; rows wait; a report is refused; no secret is logged."""
    config = Config(
        server=ServerConfig(port=0, log="none"),
        upstreams=(UpstreamConfig(name="nobody", base_url=refusing()),),
        models=(ModelConfig(name="m", upstreams=("nobody",)),),
        ledger=_ledger(tmp_path),
    )
    with served(config) as running:
        for _ in range(3):
            assert request(running, CHAT, asked())[0] == 502
        until(lambda: bool(running.server.gateway.book.rows[1]))
        status, _, body = request(running, "/readyz", method="GET")
        told = json.loads(body)
        assert (status, told["status"], told["ledger"]["status"]) == (200, "ready", "down")
        assert told["ledger"]["waiting"] > 0
        _, _, metrics = request(running, "/metrics", method="GET")
        assert b"deltaweir_ledger_up 0.0" in metrics
        status, _, body = request(running, "/v1/usage", method="GET")
        assert (status, json.loads(body)["error"]["code"]) == (503, "ledger_unavailable")
        assert b"postgresql" not in body
    assert "Connection refused" in caplog.text
    assert "secret" not in caplog.text
    heir = Spool(tmp_path / "spool", most_bytes=2**20)
    with heir.inherited(100) as found:
        assert found is not None
        assert len([one for one in found.entries if isinstance(one, Opened)]) == 3


def test_a_full_queue_makes_it_unready(tmp_path: Path) -> None:
    """Only when neither disk nor memory keeps more is 503 the answer."""
    config = Config(server=ServerConfig(port=0, log="none"), ledger=_ledger(tmp_path))
    (tmp_path / "spool").touch()  # no folder can be made there
    with served(config) as running:
        ledger = running.server.gateway.book.open()
        assert isinstance(ledger, Ledger)
        handle = ledger.opened(Opened(stream_id="s", started=1.0, model="m"), Tally)
        ledger._most = 0
        until(lambda: ledger.full)
        status, _, body = request(running, "/readyz", method="GET")
        assert (status, json.loads(body)["status"]) == (503, "unavailable")
        assert not handle.durable.done()
