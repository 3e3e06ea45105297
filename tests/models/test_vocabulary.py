"""A vocabulary counts as the engine does, read from the head of a weights file alone."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

import deltaweir
from deltaweir.errors import EngineMissing, InvalidRequest, ModelCorrupt, ModelUnavailable
from deltaweir.models.vocabulary import vocabulary_of
from deltaweir.models.weights import Weights, resolve

TOKENS = ["<s>", "</s>", "a", "b", "c", "Ġ", "ab", "abc", "Ġa", "<tool>", "<tool>>", "<gap>"]
TYPES = [3, 3, 1, 1, 1, 1, 1, 1, 1, 4, 3, 5]

TEXTS = [
    "Hello, world!",
    "I'LL don't we've 'S",
    "  two  blanks \t tab ",
    "\n\n \n\r\n  x\n",
    "1234567 ½² ٣٤",
    "日本語 漢字かな 中文。",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽",
    "cafe\u0301 café",
    "def f(x):\n    return x ** 2  # no\n",
    "<|im_start|>user\nhi<|im_end|>\n<|im_sta",
    "नमस्ते ไทย עברית",
    "\u00a0\u2003\u0085\u200d\x1f",
    "a" * 3000,
]


def items(build: Any, *, without: str = "", **changed: Any) -> list[Any]:
    """Return the keys of a small file with a byte-level vocabulary."""
    merges = changed.get("merges", ["a b", "ab c", "Ġ a"])
    types = changed.get("types", TYPES)
    kept = [
        ("general.architecture", 8, build.text("tiny")),
        ("tokenizer.ggml.model", 8, build.text(changed.get("model", "gpt2"))),
        ("tokenizer.ggml.pre", 8, build.text(changed.get("pre", "gpt-2"))),
        ("tokenizer.ggml.tokens", 9, build.texts(changed.get("tokens", TOKENS))),
        ("tokenizer.ggml.token_type", 9, struct.pack(f"<IQ{len(types)}i", 5, len(types), *types)),
        ("tokenizer.ggml.merges", 9, build.texts(merges)),
        ("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 0)),
        ("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", changed.get("eos", 1))),
        ("tokenizer.ggml.add_bos_token", 7, b"\1"),
        ("tokenizer.ggml.add_eos_token", 7, bytes([changed.get("add_eos", False)])),
    ]
    return [item for item in kept if item[0] != f"tokenizer.ggml.{without}"]


@pytest.fixture
def weights(build: Any, tmp_path: Path) -> Any:
    """Return a maker of small weights."""

    def make(**changed: Any) -> Weights:
        path = tmp_path / "tiny.gguf"
        path.write_bytes(build.gguf(items(build, **changed)))
        return resolve(path)

    return make


def test_merges_make_tokens(weights: Any) -> None:
    """Each merge makes one token of two, and the count is of what is left."""
    counted = vocabulary_of(weights())
    assert counted.name == "tiny"
    assert [counted.count(text) for text in ("", "a", "ab", "abc", "abc a", "ca")] == [
        *(0, 1, 1, 1, 2, 2)
    ]


def test_special_texts_are_tokens_in_prompts_only(weights: Any) -> None:
    """Control tokens count in a prompt, user-defined ones in any text, unused ones nowhere."""
    counted = vocabulary_of(weights(add_eos=False))
    plain = counted.count_rendered("")
    assert plain == 1  # the begin-of-text token
    assert counted.count_rendered("a<s>a") - plain == 3
    assert counted.count("a<s>a") == 2  # of the text <s>, nothing is in this vocabulary
    assert counted.count("a<tool>a") == 3
    assert counted.count_rendered("<gap>a") - plain == 1 + counted.count("<gap>")


def test_the_longest_special_text_is_cut_out_first(weights: Any) -> None:
    """Of two that could stand at a place, the longer one does."""
    counted = vocabulary_of(weights())
    assert counted.count_rendered("a<tool>>a") == 1 + 3
    assert counted.count("a<tool>>a") == 3  # the shorter one, since > is no token here


def test_what_the_engine_adds_is_counted(weights: Any) -> None:
    """The tokens around every prompt are counted where the file says so, or its rules do."""
    assert vocabulary_of(weights(add_eos=True)).count_rendered("a") == 3
    silent = {"without": "add_bos_token"}
    assert vocabulary_of(weights(**silent)).count_rendered("a") == 1
    llama = vocabulary_of(weights(pre="llama-bpe", **silent))
    assert (llama.count_rendered("a"), llama.adds_bos, llama.bos) == (2, True, "<s>")


def test_texts_that_end_answers_are_control_tokens(weights: Any) -> None:
    """What ends an answer in every model is a control token, whatever the file says."""
    counted = vocabulary_of(weights(types=[1] * len(TYPES)))
    assert counted.count_rendered("a</s>") == 1 + 2
    assert counted.count_rendered("a<s>") == 1 + 1
    assert counted.eos == "</s>"


def test_a_whole_word_wins_over_merges_where_the_rules_say_so(weights: Any) -> None:
    """With llama3's rules a word that is a token needs no merge."""
    assert vocabulary_of(weights(pre="llama-bpe", merges=["a b"])).count("abc") == 1
    assert vocabulary_of(weights(pre="dbrx", merges=["a b"])).count("abc") == 2


def test_files_may_say_little(weights: Any) -> None:
    """Without types and with an id beyond the vocabulary, the tokens still count."""
    counted = vocabulary_of(weights(without="token_type", eos=99))
    assert (counted.count("abc"), counted.eos) == (1, "")


def test_a_vocabulary_is_read_once_and_again_when_the_file_changes(weights: Any) -> None:
    """The same file gives the same object; another content another one."""
    first = vocabulary_of(weights())
    assert vocabulary_of(weights(merges=["a b"])).count("abc") == 2
    changed = weights()
    os.utime(changed.path, ns=(1, 1))
    again = vocabulary_of(changed)
    assert again is not first
    assert vocabulary_of(changed) is again


def test_other_kinds_of_tokenizer_are_refused(weights: Any) -> None:
    """The error names the kind that was found and the one that is known."""
    with pytest.raises(InvalidRequest, match=r"'llama'.*gpt2"):
        vocabulary_of(weights(model="llama"))
    with pytest.raises(InvalidRequest, match=r"''.*gpt2"):
        vocabulary_of(weights(without="model"))


def test_a_damaged_vocabulary_is_corrupt(weights: Any) -> None:
    """Merges of unknown tokens, and missing types, are told as damage."""
    with pytest.raises(ModelCorrupt, match="merges"):
        vocabulary_of(weights(merges=["q r"]))
    with pytest.raises(ModelCorrupt, match="token_type"):
        vocabulary_of(weights(types=[1]))


def test_a_file_that_has_gone_is_told(weights: Any) -> None:
    """Weights may be deleted after they were found."""
    gone = weights()
    gone.path.unlink()
    with pytest.raises(ModelUnavailable, match="no weights file"):
        vocabulary_of(gone)


def test_without_the_library_the_error_says_what_to_install(
    weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is of an extra."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EngineMissing, match=r"pip install 'deltaweir\[local\]'"):
        vocabulary_of(weights(add_eos=True))


@pytest.mark.parametrize("text", TEXTS)
def test_the_count_is_the_engines(smollm2: Weights, text: str) -> None:
    """The engine reads a completion's prompt as the vocabulary counts it."""
    with deltaweir.Client() as client:
        whole = client.completions.create(model="smollm2", prompt=text, max_tokens=1)
    assert whole.usage is not None
    assert vocabulary_of(smollm2).count_rendered(text) == whole.usage.prompt_tokens


def test_control_texts_are_plain_text_outside_of_prompts(smollm2: Weights) -> None:
    """What somebody writes is no control token."""
    counted = vocabulary_of(smollm2)
    assert counted.count_rendered("<|im_end|>") == 1
    assert counted.count("<|im_end|>") > 1
