"""What a GGUF head says is read right, and nothing damaged reaches the engine."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import ModelCorrupt, ModelUnavailable
from deltaweir.models.gguf import (
    Head,
    TokenTables,
    parse_head,
    parse_token_tables,
    read_head,
    read_token_tables,
)


def test_a_head_says_what_the_file_holds(build: Any) -> None:
    """Every field comes from its key."""
    assert parse_head(build.gguf(), label="x") == Head(
        architecture="tiny",
        name="Tiny",
        context_train=64,
        vocabulary=3,
        tensors=1,
        chat_template="{{ messages }}",
        infill=None,
        add_bos=True,
        bos_id=0,
        eos_id=1,
    )


def test_what_is_not_said_is_none(build: Any) -> None:
    """A file with an architecture only gives a head without guesses."""
    data = build.gguf([("general.architecture", 8, build.text("tiny"))], version=2)
    assert parse_head(data, label="x") == Head(
        architecture="tiny",
        name="",
        context_train=None,
        vocabulary=0,
        tensors=1,
        chat_template=None,
        infill=None,
        add_bos=None,
        bos_id=None,
        eos_id=None,
    )


def test_infill_tokens_are_found_by_text(build: Any) -> None:
    """All three infill tokens in the vocabulary suffice, as in Qwen2.5-Coder."""
    tokens = ["a", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]
    head = parse_head(build.gguf(build.items(tokens=tokens)), label="x")
    assert head.infill == ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    assert parse_head(build.gguf(build.items(tokens=tokens[:3])), label="x").infill is None


def test_an_infill_text_inside_a_longer_token_does_not_count(build: Any) -> None:
    """Only a whole token is an infill token."""
    tokens = ["x<|fim_prefix|>", "x<|fim_middle|>", "x<|fim_suffix|>"]
    assert parse_head(build.gguf(build.items(tokens=tokens)), label="x").infill is None


@pytest.mark.parametrize(
    "names",
    [
        ("fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id"),
        ("prefix_token_id", "suffix_token_id", "middle_token_id"),
    ],
)
def test_infill_tokens_are_found_by_key(build: Any, names: tuple[str, ...]) -> None:
    """The keys of today and those of older files name the infill tokens; others do not count."""

    def infill(*ids: int) -> tuple[str, str, str] | None:
        named = zip(names, ids, strict=True)
        more = [(f"tokenizer.ggml.{name}", 4, struct.pack("<I", n)) for name, n in named]
        items = build.items(tokens=["", "before", "after é", "middle"]) + more
        return parse_head(build.gguf(items), label="x").infill

    assert infill(1, 2, 3) == ("before", "after é", "middle")
    assert infill(1, 2, 4) is None


@pytest.mark.parametrize(
    ("kind", "sizes", "size"),
    [
        (0, (4, 2), 32),
        (1, (4, 2), 16),
        (2, (32, 3), 54),
        (12, (256, 2), 288),
        (0, (), 4),
        (99, (4, 2), 0),
    ],
)
def test_the_file_must_be_as_long_as_its_tensors(
    build: Any, kind: int, sizes: tuple[int, ...], size: int
) -> None:
    """One byte less than the tensors need is refused; an unknown type needs none."""
    assert parse_head(build.gguf(kind=kind, sizes=sizes, data=size), label="x").tensors == 1
    if size:
        with pytest.raises(ModelCorrupt, match="wanted at least"):
            parse_head(build.gguf(kind=kind, sizes=sizes, data=size - 1), label="x")


def _with(build: Any, key: str, kind: int, raw: bytes) -> bytes:
    kept = [item for item in build.items() if item[0] != key]
    data: bytes = build.gguf([*kept, (key, kind, raw)])
    return data


@pytest.mark.parametrize(
    ("key", "kind", "raw", "said"),
    [
        ("general.architecture", 4, b"\1\0\0\0", "general.architecture = 1, wanted a text"),
        ("general.alignment", 4, struct.pack("<I", 3), "alignment = 3, wanted a power of two"),
        ("general.alignment", 4, struct.pack("<I", 0), "wanted a power of two"),
        ("general.alignment", 4, struct.pack("<I", 1 << 31), "wanted a power of two"),
        ("tiny.context_length", 7, b"\1", "tiny.context_length = True, wanted a whole number"),
        ("tiny.context_length", 5, struct.pack("<i", -1), "wanted a whole number of 0 or more"),
        ("tiny.context_length", 6, struct.pack("<f", 1), "wanted a whole number of 0 or more"),
        ("tokenizer.ggml.tokens", 4, b"\1\0\0\0", "tokens of another type"),
        ("tokenizer.ggml.tokens", 9, struct.pack("<IQB", 0, 1, 7), "tokens of another type"),
        ("k", 13, b"", "type 13 for 'k'"),
        ("k", 9, struct.pack("<IQ", 9, 1), "an array of type 9, wanted numbers or texts"),
        ("k", 9, struct.pack("<IQ", 4, 10**9), "number of items = 1,000,000,000"),
        ("k", 9, struct.pack("<IQ", 4, 10**6), "an array of 4,000,000 bytes"),
        ("k", 9, struct.pack("<IQ", 8, 10**6), "an array of texts of 8,000,000 bytes"),
        ("k", 9, struct.pack("<IQQ", 8, 1, 1 << 60), "an array of texts of"),
        ("k", 9, struct.pack("<IQQQ", 8, 2, 1 << 60, 0), "an array of texts of"),
        ("k", 8, struct.pack("<Q", 1 << 60), "length of a text = "),
        ("k", 8, struct.pack("<Q", 10**6), "a text of 1,000,000 bytes"),
        ("general.name\0", 7, b"\1" + b"\xff" * 8, "length of"),
    ],
)
def test_a_damaged_value_is_refused(build: Any, key: str, kind: int, raw: bytes, said: str) -> None:
    """The error names the file, what was got and what was wanted."""
    with pytest.raises(ModelCorrupt) as caught:
        parse_head(_with(build, key, kind, raw), label="some.gguf")
    assert said in caught.value.message
    assert caught.value.message.startswith("some.gguf is not a usable GGUF file: got ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "got b'' at the start, wanted b'GGUF'"),
        (b"PK\3\4" + b"\0" * 64, "wanted b'GGUF'"),
        (b"GGUF", "a cut-off"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "got version 1, wanted version 2 or 3"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "little-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), "number of tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40), "number of keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no key general.architecture"),
    ],
)
def test_a_file_that_is_no_gguf_is_refused(data: bytes, said: str) -> None:
    """Foreign files, other versions and absurd counts are told apart."""
    with pytest.raises(ModelCorrupt) as caught:
        parse_head(data, label="x")
    assert said.replace("a cut-off", "was a download cut off?") in caught.value.message


def test_a_key_that_stands_there_twice_is_refused(build: Any) -> None:
    """llama.cpp refuses it as well."""
    with pytest.raises(ModelCorrupt, match="twice"):
        parse_head(build.gguf([*build.items(), build.items()[0]]), label="x")


def test_a_row_that_is_no_whole_number_of_blocks_is_refused(build: Any) -> None:
    """A row of 33 items cannot be Q4_0."""
    with pytest.raises(ModelCorrupt, match="a multiple of 32"):
        parse_head(build.gguf(kind=2, sizes=(33, 1), data=1000), label="x")


def test_five_dimensions_are_refused(build: Any) -> None:
    """Four is what ggml knows."""
    with pytest.raises(ModelCorrupt, match="number of dimensions"):
        parse_head(build.gguf(sizes=(1, 1, 1, 1, 1)), label="x")


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_end_in_a_head_or_an_error(data: bytes) -> None:
    """Nothing but ModelCorrupt comes out, with the magic in front or not."""
    for case in (data, b"GGUF" + data, b"GGUF\3\0\0\0" + data):
        with contextlib.suppress(ModelCorrupt):
            parse_head(case, label="x")


@given(cut=st.integers(min_value=0, max_value=10**6))
def test_every_truncation_is_refused(build: Any, cut: int) -> None:
    """A file that misses any number of bytes at its end is never taken."""
    data = build.gguf()
    with pytest.raises(ModelCorrupt):
        parse_head(data[: cut % len(data)], label="x")


@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_every_mutation_ends_in_a_head_or_an_error(
    build: Any, changes: list[tuple[int, int]]
) -> None:
    """A file with flipped bytes gives a head or ModelCorrupt, at once."""
    data = bytearray(build.gguf())
    for at, byte in changes:
        data[at % len(data)] = byte
    with contextlib.suppress(ModelCorrupt):
        parse_head(bytes(data), label="x")


def test_a_file_is_read_from_its_path(build: Any, tmp_path: Path) -> None:
    """read_head gives what parse_head gives, and trailing data does not matter."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(build.gguf() + b"\0" * 100)
    assert read_head(path) == parse_head(build.gguf(), label="x")


def test_a_vocabulary_of_150000_tokens_is_read_quickly(build: Any, tmp_path: Path) -> None:
    """The head of a big vocabulary takes well under a second of a slow machine."""
    path = tmp_path / "big.gguf"
    path.write_bytes(build.gguf(build.items(tokens=[f"token{n}" for n in range(150_000)])))
    begun = time.process_time()
    assert read_head(path).vocabulary == 150_000
    assert time.process_time() - begun < 1


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    """The error names the path."""
    with pytest.raises(ModelUnavailable, match=r"there is no weights file .*absent\.gguf"):
        read_head(tmp_path / "absent.gguf")


@pytest.mark.parametrize("name", ["x" * 5000, "zero\0.gguf"])
def test_a_path_that_cannot_be_is_unavailable(tmp_path: Path, name: str) -> None:
    """A name that is too long, or holds a zero character, is an error like any other."""
    with pytest.raises(ModelUnavailable):
        read_head(tmp_path / name)


def test_a_folder_and_an_empty_file_are_corrupt(tmp_path: Path) -> None:
    """Neither can hold weights."""
    with pytest.raises(ModelCorrupt, match="a folder"):
        read_head(tmp_path)
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(ModelCorrupt, match="b'' at the start"):
        read_head(tmp_path / "empty.gguf")


def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    """A pipe nobody writes to is refused without opening it."""
    if sys.platform == "win32":
        pytest.skip("Windows has no named pipes in folders")
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ModelCorrupt, match="device"):
        read_head(tmp_path / "pipe.gguf")


def test_token_tables_hold_what_a_text_is_split_by(build: Any, tmp_path: Path) -> None:
    """Tokens, merges and types come from their arrays, and what is not said is empty."""
    path = tmp_path / "tiny.gguf"
    more = [
        ("tokenizer.ggml.model", 8, build.text("gpt2")),
        ("tokenizer.ggml.pre", 8, build.text("qwen2")),
        ("tokenizer.ggml.merges", 9, build.texts(["a b", "ä ö"])),
        ("tokenizer.ggml.token_type", 9, struct.pack("<IQ3i", 5, 3, 3, 3, 1)),
        ("tokenizer.ggml.add_eos_token", 7, b"\1"),
    ]
    path.write_bytes(build.gguf([*build.items(), *more]))
    assert read_token_tables(path) == TokenTables(
        model="gpt2",
        pre="qwen2",
        tokens=["<s>", "</s>", "a"],
        merges=["a b", "ä ö"],
        types=(3, 3, 1),
        add_eos=True,
    )
    path.write_bytes(build.gguf())
    assert read_token_tables(path) == TokenTables(
        model="", pre="", tokens=["<s>", "</s>", "a"], merges=[], types=(), add_eos=None
    )


@pytest.mark.parametrize(
    ("name", "kind", "raw"),
    [
        ("merges", 9, struct.pack("<IQ3i", 5, 3, 3, 3, 1)),
        ("token_type", 9, struct.pack("<IQ2i", 5, 2, 3, 3)),
        ("token_type", 9, struct.pack("<IQ3q", 11, 3, 3, 3, 1)),
    ],
)
def test_damaged_token_tables_are_corrupt(build: Any, name: str, kind: int, raw: bytes) -> None:
    """Arrays of another type or length are no tables."""
    items = [*build.items(), (f"tokenizer.ggml.{name}", kind, raw)]
    with pytest.raises(ModelCorrupt, match="of another type"):
        parse_token_tables(build.gguf(items), label="x")


def test_a_file_without_tokens_has_no_tables(build: Any) -> None:
    """Weights without a vocabulary cannot count."""
    with pytest.raises(ModelCorrupt, match=r"no array tokenizer\.ggml\.tokens"):
        parse_token_tables(build.gguf(build.items()[:1]), label="x")
