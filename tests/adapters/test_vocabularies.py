"""Counts equal tiktoken's in every encoding, save for the differences listed here."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tiktoken_files import Reference

from deltaweir.adapters.vocabularies import ENCODINGS, ranks_of, tokenizer_of
from deltaweir.errors import InvalidRequest
from deltaweir.meter.tokens import Tokenizer, mended

LONG_S = "\u017f"


TEXTS = {
    "nothing": "",
    "English": "It's what they'd've said: we'll see, won't we? DON'T. " * 20,
    "code": "def f(x: int) -> str:\n    return f'{x:>8}'\n\n\nclass A:\r\n\tpass  # end\n" * 9,
    "JSON": '{"a": [1, 2.5e-3, null], "b": {"c": "\\u00e9\\n", "d": ""}}\n' * 9,
    "CJK": "今天天气很好。日本語のテキスト、カタカナ。한국어 문장입니다! " * 9,
    "emoji": "👩🏽\u200d🚀 🇩🇪🏳️\u200d🌈 ok👍🏿!! 😀😀😀",
    "white space": " \t\n  \r\n\n\n   x \u3000\u00a0\u2003y\v\f\x85z\u2028 \x1c \n ",
    "digits": "1 12 123 1234 12345.678 ٣٥५ Ⅷ½² 2026-11-24T10:00:00Z 0x1F",
    "apostrophes": "''s 'S 'LL'll 'Ve x're\u2019s d'd''d 'm m' 'tis it's's O'Neil",
    "hostile Unicode": "e\u0301\u0308\u0489 \ufeff\u202eabc\u202c\x00\x7f\ue000\uffff\U0010ffff",
    "special tokens": "<|endoftext|><|fim_prefix|> a<|start|>user<|message|>b<|endofprompt|>",
    "a letter": "a" * 100_000,
    "blanks before a letter": "x" + " " * 30_000 + "y" + "\u3000\n" * 20_000 + "z" + "\t" * 20_000,
    "half a pair": mended("a\ud83d b\ude00 \ud83d\ude00"),
}


def alone(code: str) -> str:
    """Run Python in a fresh process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=50,
    )
    return done.stdout.strip()


def test_the_names_are_those_of_tiktoken() -> None:
    """There is a tokenizer for each encoding that tiktoken knows, and it bears its name."""
    assert sorted(ENCODINGS) == sorted(tiktoken.list_encoding_names())
    assert [tokenizer_of(name).name for name in ENCODINGS] == list(ENCODINGS)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_texts_count_as_in_tiktoken(encoding: str, kind: str, reference: Reference) -> None:
    """A text of any kind, and each of its first prefixes, counts as tiktoken counts it."""
    text, count = TEXTS[kind], tokenizer_of(encoding).count
    encode = reference(encoding).encode_ordinary
    assert count(text) == len(encode(text))
    for end in range(min(len(text), 200)):
        assert count(text[:end]) == len(encode(text[:end]))


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base", "p50k_base", "r50k_base"])
def test_every_character_of_the_first_plane(encoding: str, reference: Reference) -> None:
    """Each code point of the BMP counts as in tiktoken, alone and between letters and signs."""
    count, encode = tokenizer_of(encoding).count, reference(encoding).encode_ordinary
    wrong = [
        hex(point)
        for point in range(0x10000)
        if not 0xD800 <= point < 0xE000
        for text in (chr(point), f"it{chr(point)}'s")
        if count(text) != len(encode(text))
    ]
    assert wrong == []


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    encoding=st.sampled_from(ENCODINGS),
    text=st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"], exclude_characters=LONG_S),
            st.sampled_from("aB1 '\n\r\t/.sStlvme\u0301中"),
        ),
        max_size=80,
    ),
)
def test_any_text_counts_as_in_tiktoken(reference: Reference, encoding: str, text: str) -> None:
    """A text that Hypothesis makes, without the long s, counts as in tiktoken."""
    expected = len(reference(encoding).encode_ordinary(text))
    assert tokenizer_of(encoding).count(text) == expected


def test_known_difference_of_the_long_s(reference: Reference) -> None:
    """In o200k a long s is a case of s for tiktoken, whose 's ends the word before it.

    It shows where another contraction follows: here that one goes with the long s.
    """
    text = f"A'{LONG_S}'veng"
    assert tokenizer_of("o200k_base").count(text) == 5
    assert len(reference("o200k_base").encode_ordinary(text)) == 6
    for name in ("cl100k_base", "p50k_base"):
        assert tokenizer_of(name).count(text) == len(reference(name).encode_ordinary(text))


def test_a_million_blanks_do_not_stop_the_old_encodings() -> None:
    """A run of white space that tiktoken's engine aborts at is counted, part by part."""
    blanks = 1_000_000
    text = "a" + " " * blanks + "b"
    count = tokenizer_of("p50k_base").count
    assert count(text) == count("a") + count(" " * (blanks - 1)) + count(" b")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_surrogates_are_left_to_the_caller(encoding: str) -> None:
    """A surrogate is refused in every encoding, not counted as something else."""
    with pytest.raises(UnicodeEncodeError):
        tokenizer_of(encoding).count("a\ud800")


def test_an_unknown_encoding_is_refused_by_name() -> None:
    """The error names what was got, cut short, and all that there is."""
    with pytest.raises(InvalidRequest) as caught:
        tokenizer_of("o300k" * 100)
    assert caught.value.param == "encoding"
    assert "'" + "o300k" * 16 + "...'" in caught.value.message
    assert all(name in caught.value.message for name in ENCODINGS)


def test_threads_that_come_at_once_share_one_tokenizer() -> None:
    """Concurrent first calls wait for one load and get one object; so does every later call."""
    code = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from deltaweir.adapters import vocabularies
loads, barrier, load = [], Barrier(8), vocabularies._encoding
vocabularies._encoding = lambda name: loads.append(name) or load(name)
def get(_):
    barrier.wait()
    return vocabularies.tokenizer_of("gpt2")
with ThreadPoolExecutor(8) as pool:
    print(len(set(map(id, pool.map(get, range(8))))), loads)
"""
    assert alone(code) == "1 ['r50k_base']"


def test_threads_count_the_same() -> None:
    """One tokenizer serves several threads at once."""
    barrier = Barrier(4)

    def counts(name: str) -> list[int]:
        barrier.wait()
        return [tokenizer_of(name).count(f"text {number}, it's") for number in range(2_000)]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(counts, ["o200k_base"] * 4)
    assert all(other == first for other in others)


def test_importing_loads_no_tokenizer() -> None:
    """The library is imported when a tokenizer is asked for, and tiktoken never."""
    code = """
import sys
from deltaweir.adapters.vocabularies import tokenizer_of
print({"splintr", "tiktoken"} & set(sys.modules))
tokenizer_of("cl100k_base")
print({"splintr", "tiktoken"} & set(sys.modules))
"""
    assert alone(code).splitlines() == ["set()", "{'splintr'}"]


@pytest.mark.parametrize("encoding", ["p50k_edit", "o200k_base"])
def test_a_missing_library_is_named(encoding: str) -> None:
    """Without its library nothing can be counted, and the error says what to install."""
    code = f"""
import sys
sys.modules["splintr"] = None
from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.errors import EngineMissing
try:
    tokenizer_of("{encoding}")
except EngineMissing as error:
    print(error.code, error.param, error.message)
"""
    said = alone(code)
    assert said.startswith("tokenizer_missing encoding ")
    assert said.endswith("pip install splintr-rs")


def test_shared_vocabularies_differ_by_special_tokens_alone(reference: Reference) -> None:
    """The encodings that share a vocabulary have the same pattern and ranks in tiktoken."""
    for name, twin in (
        ("o200k_harmony", "o200k_base"),
        ("p50k_edit", "p50k_base"),
        ("gpt2", "r50k_base"),
    ):
        one, other = reference(name), reference(twin)
        assert one._pat_str == other._pat_str
        assert one._mergeable_ranks == other._mergeable_ranks


def test_the_packed_ranks_are_those_of_tiktoken(reference: Reference) -> None:
    """The data file holds p50k_base and r50k_base, to the token."""
    for name in ("p50k_base", "r50k_base"):
        assert ranks_of(name) == reference(name)._mergeable_ranks


def test_a_tokenizer_is_what_the_counter_wants() -> None:
    """The object has the counter's protocol; the type checker reads this line."""
    tokenizer: Tokenizer = tokenizer_of("o200k_base")
    assert tokenizer.count("hello world") == 2
