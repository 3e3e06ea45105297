"""Recordings answer the official client as the server did that was recorded."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.live.environments import ROOT, needs, new_python

import deltaweir
from deltaweir.testing import Peer, Recordings, chat_events, stream_answer

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]
HELLO = [{"role": "user", "content": "hello"}]


def test_todays_openai_is_answered_by_a_recording(tmp_path: Path) -> None:
    """Made by our client, played to another: the same text, and errors of its own for faults."""
    python = needs(new_python(), "the current openai package")
    with Peer(stream_answer(chat_events("Hel", "lo", usage=(5, 2)))) as peer:
        client = deltaweir.Client(base_url=peer.base_url, api_key="x")
        with Recordings(tmp_path, "t", mode="once", client=client) as recording:
            ours = deltaweir.Client(base_url=recording.base_url, api_key="any")
            ours.chat.completions.create(model="m", messages=HELLO)
    with Recordings(tmp_path, "t", mode="none") as serving:
        for _ in range(4):
            serving.pass_on()
        serving.cut_after(2)
        serving.fail_after(2)
        serving.refuse(429)
        script = ROOT / "tests/live/clients/recorded.py"
        done = subprocess.run(
            [str(python), str(script), serving.base_url, "m"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("cut") in {"APIConnectionError", "RemoteProtocolError"}  # by its release
    assert said == {
        "text": "Hello",
        "whole": "Hello",
        "usage": [7],
        "unknown": "NotFoundError",
        "failed": "APIError",
        "refused": "RateLimitError",
    }
