"""A model's name leads to its encoding, however it is written."""

from __future__ import annotations

import pytest
import tiktoken
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

from deltaweir.adapters.encodings import Encoding, encoding_of
from deltaweir.adapters.vocabularies import ENCODINGS


@pytest.mark.parametrize("model", MODEL_TO_ENCODING)
def test_every_model_of_tiktoken_has_its_encoding(model: str) -> None:
    """Each name of tiktoken's table leads where tiktoken leads."""
    expected = tiktoken.encoding_name_for_model(model)
    assert encoding_of(model) == Encoding(expected, known=True)


@pytest.mark.parametrize("ending", ["", "-2030-01-01", "-0613:org::id"])
@pytest.mark.parametrize("prefix", MODEL_PREFIX_TO_ENCODING)
def test_every_prefix_of_tiktoken_has_its_encoding(prefix: str, ending: str) -> None:
    """Each prefix of tiktoken's table leads where tiktoken leads, dated and fine-tuned too."""
    expected = tiktoken.encoding_name_for_model(prefix + ending)
    assert encoding_of(prefix + ending) == Encoding(expected, known=True)


@pytest.mark.parametrize("base", ["gpt-4.1-2025-04-14", "gpt-4.1-mini", "gpt-4.5-preview"])
def test_a_fine_tune_counts_as_its_base(base: str) -> None:
    """Where tiktoken's prefix ft:gpt-4 takes in other families, the base decides here."""
    tuned = f"ft:{base}:org::id"
    assert tiktoken.encoding_name_for_model(tuned) == "cl100k_base"
    assert encoding_of(tuned) == encoding_of(base) == Encoding("o200k_base", known=True)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5.1", "o200k_base"),
        ("gpt-5-mini-2025-08-07", "o200k_base"),
        ("o3-pro", "o200k_base"),
        ("o4-mini-deep-research", "o200k_base"),
        ("codex-mini-latest", "o200k_base"),
        ("computer-use-preview-2025-03-11", "o200k_base"),
        ("gpt-audio-mini", "o200k_base"),
        ("gpt-realtime", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-4o-mini-2024-07-18.ft-0123", "o200k_base"),
        ("gpt-4-32k-0613", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("gpt-3.5-0301", "cl100k_base"),
        ("gpt-oss:20b", "o200k_harmony"),
        ("openai.gpt-oss-120b-1:0", "o200k_harmony"),
        ("davinci:ft-org-2023-01-01-00-00-00", "r50k_base"),
        ("ft:davinci-002:org::id", "cl100k_base"),
    ],
)
def test_names_beyond_the_table_of_tiktoken(model: str, name: str) -> None:
    """Newer families, deployments, hosts of open weights and old fine-tunes are known."""
    assert encoding_of(model) == Encoding(name, known=True)


@pytest.mark.parametrize("prefix", ["openai/", "azure/", "openrouter/openai/", "Azure/EU/"])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "GPT-4", "ft:gpt-4o-mini-2024-07-18:org::id"])
def test_the_way_to_a_model_and_its_case_do_not_matter(prefix: str, model: str) -> None:
    """A gateway's prefix and capital letters change nothing."""
    assert encoding_of(prefix + model) == encoding_of(model.lower())
    assert encoding_of(model).known


@pytest.mark.parametrize(
    "model",
    [
        None,
        "",
        "claude-sonnet-4",
        "deepseek/deepseek-chat",
        "gemini-2.5-pro",
        "gpt-4x",
        "gpt-6-sol",
        "gpt",
        "llama-3.1-8b",
        "mistral-large",
        "o1x",
        "qwen3-max",
    ],
)
def test_what_nobody_knows_is_an_estimate(model: str | None) -> None:
    """Other makers' models and no name at all count with o200k_base, and say so."""
    assert encoding_of(model) == Encoding("o200k_base", known=False)


def test_every_encoding_has_a_tokenizer() -> None:
    """No model leads to an encoding that cannot be counted."""
    names = {encoding_of(model).name for model in (*MODEL_TO_ENCODING, "gpt-oss")}
    assert names == set(ENCODINGS)
