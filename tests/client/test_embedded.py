"""Calls on their way to the embedded model: what is known before anything is loaded."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from deltaweir.client import embedded
from deltaweir.client.destination import Settings
from deltaweir.client.embedded import best_of, call_of, embedded_models, prepare, weights_of
from deltaweir.errors import InvalidRequest, ModelCorrupt, ModelNotFound, ModelUnavailable
from deltaweir.models.weights import Weights
from deltaweir.types import Reply, TextReply

MESSAGES = [{"role": "user", "content": "x"}]


def call(**fields: Any) -> embedded.Call:
    """Return a checked chat call."""
    given = {"messages": MESSAGES, "model": "smollm2", **fields}
    return call_of(given, chat=True, settings=Settings())


def test_a_call_is_checked_before_anything_is_loaded() -> None:
    """Ranges, roles and types of both endpoints."""
    with pytest.raises(InvalidRequest, match="temperature=9"):
        call(temperature=9)
    with pytest.raises(InvalidRequest, match="prompt"):
        call_of({"prompt": 5}, chat=False, settings=Settings())


def test_options_of_ours_are_no_fields_of_the_request() -> None:
    """Clocks are taken out, and extra fields put in."""
    made = call(timeout=5, timeouts={"stall": 3}, extra_body={"top_k": 4}, extra_headers={"a": "b"})
    assert (made.timeouts.total, made.timeouts.stall) == (5, 3)
    assert made.request["top_k"] == 4
    assert "timeout" not in made.request
    assert "extra_headers" not in made.request


def test_a_prepared_call_has_all_that_a_stream_needs(smollm2: Weights) -> None:
    """Ids of its own, and no clock for a head that an engine does not send."""
    made = call(stream=True, stream_options={"include_usage": True})
    first, second = prepare(made), prepare(made)
    assert first.identity != second.identity
    assert first.request_id.startswith("req_")
    assert first.timeouts.headers is None
    assert first.options is not None
    assert first.options.include_usage
    assert prepare(call()).options is None
    assert first.engine is second.engine


def test_an_unknown_model_names_those_that_exist() -> None:
    """Before the engine is looked at; and how a provider would be asked for it."""
    with pytest.raises(ModelNotFound, match=r"(?s)smollm2.*none is named.*OPENAI_API_KEY") as told:
        weights_of("gpt-unknown")
    assert told.value.param == "model"


def test_weights_that_are_missing_or_no_model_are_told_apart(tmp_path: Path) -> None:
    """A path that is not there, and a file of another kind."""
    with pytest.raises(ModelUnavailable, match="there is no weights file"):
        weights_of(os.fspath(tmp_path / "none.gguf"))
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelCorrupt):
        weights_of(os.fspath(tmp_path / "text.gguf"))


def test_weights_are_looked_for_once(smollm2: Weights, tmp_path: Path) -> None:
    """And again when their file has gone."""
    path = tmp_path / "mine.gguf"
    shutil.copyfile(smollm2.path, path)
    found = weights_of(os.fspath(path))
    assert found.name == "mine"
    assert weights_of(os.fspath(path)) is found
    path.unlink()
    with pytest.raises(ModelUnavailable):
        weights_of(os.fspath(path))


def test_looking_for_one_model_does_not_hold_up_another(smollm2: Weights) -> None:
    """A pull takes minutes."""
    other = embedded._looking.setdefault("elsewhere", threading.Lock())
    with other:
        assert weights_of("smollm2").path == smollm2.path


def test_the_embedded_models_are_those_of_the_catalogue() -> None:
    """The default first."""
    assert [model.id for model in embedded_models().data] == ["qwen2.5-coder-0.5b", "smollm2"]


def test_only_a_request_for_the_best_is_ranked(smollm2: Weights) -> None:
    """Other replies stay as they are."""
    fields = {"prompt": "x", "model": "smollm2"}
    plain = prepare(call_of(fields, chat=False, settings=Settings()))
    ranked = prepare(call_of({**fields, "best_of": 3}, chat=False, settings=Settings()))
    reply = TextReply.model_validate(
        {"choices": [{"index": at, "text": str(at)} for at in range(3)]}
    )
    assert len(best_of(reply, plain).choices) == 3
    assert len(best_of(reply, ranked).choices) == 1
    chat = Reply()
    assert best_of(chat, ranked) is chat
