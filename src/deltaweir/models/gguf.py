"""What the head of a GGUF file says, read without the engine and without numpy.

The engine is native code that may end the whole process on a damaged file, so every file
passes through here first. We read the head ourselves since the ``gguf`` package brings in
numpy and turns every array, 150,000 tokens and as many merges, into Python objects.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from deltaweir.errors import ModelCorrupt, ModelUnavailable
from deltaweir.models.gguf_layout import (
    U64,
    Array,
    Reader,
    Value,
    all_numbers,
    all_texts,
    check_tensors,
    read_keys,
    read_start,
    text_at,
)

_DEFAULT_ALIGNMENT = 32
_MAX_ALIGNMENT = 1 << 20

# Key names (new, old) and token texts of the three infill tokens. llama.cpp finds them by
# text where the keys are missing, as in the files of Qwen2.5-Coder.
_INFILL: Final = (
    (
        ("fim_pre_token_id", "prefix_token_id"),
        ("<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>"),  # noqa: RUF001  DeepSeek
    ),
    (
        ("fim_suf_token_id", "suffix_token_id"),
        ("<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>"),  # noqa: RUF001  DeepSeek
    ),
    (
        ("fim_mid_token_id", "middle_token_id"),
        ("<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>"),  # noqa: RUF001  DeepSeek
    ),
)


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a weights file holds.

    Attributes:
        architecture: Name that llama.cpp gives the kind of network, such as ``qwen2``.
        name: The name the file gives itself, empty when it has none.
        context_train: Tokens of context the model was trained with, None when not said.
        vocabulary: Number of tokens the model knows; 0 means the file has no tokenizer.
        tensors: Number of tensors; 0 means the file has a vocabulary only.
        chat_template: Jinja text that turns messages into a prompt, or None.
        infill: The texts of the tokens that stand before a prefix, before a suffix and before
            what is to be filled in between; None when the model cannot fill in.
        add_bos: Whether a prompt begins with the begin-of-text token, None when not said.
        bos_id: Id of the begin-of-text token, or None.
        eos_id: Id of the token that ends a text or turn, or None.
    """

    architecture: str
    name: str
    context_train: int | None
    vocabulary: int
    tensors: int
    chat_template: str | None
    infill: tuple[str, str, str] | None
    add_bos: bool | None
    bos_id: int | None
    eos_id: int | None


class TokenTables(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a weights file splits a text into tokens by.

    Attributes:
        model: The kind of tokenizer as llama.cpp names it, such as ``gpt2`` or ``llama``.
        pre: The name of the rules that split a text into words, empty when not said.
        tokens: The texts of all tokens, by id.
        merges: Pairs of texts that become one, the first ones first; a blank between the two.
        types: The tokens' types as llama.cpp numbers them, by id; empty when not said.
        add_eos: Whether a prompt ends with the end-of-text token, None when not said.
    """

    model: str
    pre: str
    tokens: list[str]
    merges: list[str]
    types: tuple[int | float, ...]
    add_eos: bool | None


ParsedT_co = TypeVar("ParsedT_co", covariant=True)


class Parser(Protocol[ParsedT_co]):
    """Make something of a whole file's bytes."""

    def __call__(self, data: bytes | mmap.mmap, *, label: str) -> ParsedT_co:
        """Return what the file says; ``label`` is what errors call it."""


def _number(reader: Reader, keys: dict[str, Value], *, key: str) -> int | None:
    value = keys.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        reader.fail(f"{key} = {str(value)[:80]}", wanted="a whole number of 0 or more")
    return value


def _text(reader: Reader, keys: dict[str, Value], *, key: str) -> str | None:
    value = keys.get(key)
    if value is not None and not isinstance(value, str):
        reader.fail(f"{key} = {str(value)[:80]}", wanted="a text")
    return value


def _infill(
    reader: Reader, keys: dict[str, Value], *, tokens: Array | None
) -> tuple[str, str, str] | None:
    """Return the texts of the three infill tokens; llama.cpp fills in with all or none."""
    if tokens is None:
        return None
    listed = reader.data[tokens.start : tokens.end]
    found: list[str] = []
    for names, texts in _INFILL:
        ids = [_number(reader, keys, key=f"tokenizer.ggml.{name}") for name in names]
        known = [index for index in ids if index is not None and index < tokens.items]
        # With its length in front, a text is found as a whole token, not inside another one.
        told = [text for text in texts if U64.pack(len(raw := text.encode())) + raw in listed]
        if known:
            found.append(text_at(reader, tokens, index=known[0]))
        elif told:
            found.append(told[0])
    return (found[0], found[1], found[2]) if len(found) == len(_INFILL) else None


def _summary(reader: Reader, keys: dict[str, Value], *, tensors: int) -> Head:
    architecture = _text(reader, keys, key="general.architecture")
    if architecture is None:
        reader.fail("no key general.architecture", wanted="the name of an architecture")
    tokens = keys.get("tokenizer.ggml.tokens")
    if tokens is not None and not (isinstance(tokens, Array) and tokens.texts):
        reader.fail("tokenizer.ggml.tokens of another type", wanted="an array of texts")
    add_bos = keys.get("tokenizer.ggml.add_bos_token")
    return Head(
        architecture=architecture,
        name=_text(reader, keys, key="general.name") or "",
        context_train=_number(reader, keys, key=f"{architecture}.context_length"),
        vocabulary=0 if tokens is None else tokens.items,
        tensors=tensors,
        chat_template=_text(reader, keys, key="tokenizer.chat_template"),
        infill=_infill(reader, keys, tokens=tokens),
        add_bos=add_bos if isinstance(add_bos, bool) else None,
        bos_id=_number(reader, keys, key="tokenizer.ggml.bos_token_id"),
        eos_id=_number(reader, keys, key="tokenizer.ggml.eos_token_id"),
    )


def parse_head(data: bytes | mmap.mmap, *, label: str) -> Head:
    """Say what a weights file holds.

    Args:
        data: The whole file; only its head is looked at.
        label: What to call the file in an error, usually its path.

    Raises:
        ModelCorrupt: This is no GGUF file of version 2 or 3, or it is damaged or cut off.
    """
    reader = Reader(data, label=label)
    tensors, count = read_start(reader)
    keys = read_keys(reader, keys=count)
    alignment = _number(reader, keys, key="general.alignment")
    alignment = _DEFAULT_ALIGNMENT if alignment is None else alignment
    if not 0 < alignment <= _MAX_ALIGNMENT or alignment & (alignment - 1):
        reader.fail(f"general.alignment = {alignment}", wanted="a power of two")
    check_tensors(reader, tensors=tensors, alignment=alignment)
    return _summary(reader, keys, tensors=tensors)


def parse_token_tables(data: bytes | mmap.mmap, *, label: str) -> TokenTables:
    """Return what a weights file splits a text by.

    Args:
        data: The whole file; only its head is looked at.
        label: What to call the file in an error, usually its path.

    Raises:
        ModelCorrupt: As `parse_head`; or the file has no vocabulary, or a damaged one.
    """
    reader = Reader(data, label=label)
    _, count = read_start(reader)
    keys = read_keys(reader, keys=count)
    tokens, merges, types = (
        keys.get(f"tokenizer.ggml.{name}") for name in ("tokens", "merges", "token_type")
    )
    if not (isinstance(tokens, Array) and tokens.texts):
        reader.fail("no array tokenizer.ggml.tokens", wanted="the texts of the tokens")
    if merges is not None and not (isinstance(merges, Array) and merges.texts):
        reader.fail("tokenizer.ggml.merges of another type", wanted="an array of texts")
    if types is not None and not (isinstance(types, Array) and types.items == tokens.items):
        reader.fail("tokenizer.ggml.token_type of another type", wanted="a type for each token")
    add_eos = keys.get("tokenizer.ggml.add_eos_token")
    return TokenTables(
        model=_text(reader, keys, key="tokenizer.ggml.model") or "",
        pre=_text(reader, keys, key="tokenizer.ggml.pre") or "",
        tokens=all_texts(reader, tokens),
        merges=[] if merges is None else all_texts(reader, merges),
        types=() if types is None else all_numbers(reader, types, code="i"),
        add_eos=add_eos if isinstance(add_eos, bool) else None,
    )


def read_head(path: Path) -> Head:
    """Say what the weights file at ``path`` holds; some 50 ms for 150,000 tokens.

    Raises:
        ModelCorrupt: The file is not a GGUF file of version 2 or 3, or damaged or cut off.
        ModelUnavailable: There is no such file, or it may not be read.
    """
    return _mapped(path, parse_head)


def read_token_tables(path: Path) -> TokenTables:
    """Return what the weights file at ``path`` splits a text by; 0.15 s for 150,000 tokens.

    Raises:
        ModelCorrupt: As `read_head`; or the file has no vocabulary, or a damaged one.
        ModelUnavailable: There is no such file, or it may not be read.
    """
    return _mapped(path, parse_token_tables)


def _mapped(path: Path, parse: Parser[ParsedT_co]) -> ParsedT_co:
    """Return what ``parse`` makes of a file that is mapped, not read, into memory."""
    try:
        if path.exists() and not path.is_file():
            message = f"{path} is not a usable GGUF file: got a folder or device, wanted a file"
            raise ModelCorrupt(message)
        with path.open("rb") as file:
            if path.stat().st_size == 0:  # which cannot be mapped
                return parse(b"", label=str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return parse(data, label=str(path))
    except FileNotFoundError as error:
        message = f"there is no weights file {path}"
        raise ModelUnavailable(message) from error
    except OSError as error:
        message = f"the weights file {path} cannot be read: {error.strerror or 'unknown error'}"
        raise ModelUnavailable(message) from error
    except ValueError as error:  # a path with a zero character
        message = f"{str(path)!r} is not a path"
        raise ModelUnavailable(message) from error
