"""Count tokens as an embedded model does, from its vocabulary alone: no weights are loaded.

The truth is what the engine does, so that a count before a call equals the usage after it:

- No Unicode normalisation, even where the model's publisher applies one.
- Special tokens are cut out first, the longest text first over the whole prompt; what lies
  between two of them is split on its own.
- Tokens that the file marks as user-defined, such as ``<tool_call>``, are cut out of any text;
  control tokens, such as ``<|im_end|>``, only out of a rendered prompt.
- Some texts end an answer in every model, so they are control tokens whatever the file says.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deltaweir.errors import EngineMissing, InvalidRequest, ModelCorrupt
from deltaweir.models.gguf import Head, TokenTables, read_head, read_token_tables
from deltaweir.models.splitting import Splitting, splitting_named
from deltaweir.models.weights import Weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_IN_PROMPTS = (2, 3)  # of llama_token_type: unknown and control
_USER_DEFINED = 4

_ENDS: Final = frozenset(
    (
        *("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>"),
        *("<|return|>", "<|call|>", "<end_of_turn>", "<end_of_utterance>", "<EOT>", "_<EOT>"),
        *("<eos>", "</s>"),
    )
)

_KEPT = 2
"""Vocabularies that stay in memory: 150,000 tokens need some 70 MB."""
_LONG_CHARS = 8192  # a text that takes more than a millisecond


class Vocabulary:
    """Count the tokens of texts; immutable, safe to share between threads.

    Args:
        name: The model's name.
        tokenizer: Splits a text without special tokens into tokens.
        everywhere: Texts of the tokens that are one token in any text.
        in_prompts: Texts of the tokens that are one token in a rendered prompt only.
        bos: Text of the token that begins a text, empty when there is none.
        eos: Text of the token that ends a text, empty when there is none.
        adds_bos: Whether the engine puts the one before every prompt.
        adds_eos: Whether the engine puts the other behind every prompt.

    Attributes:
        name: The model's name.
        bos: As the argument.
        eos: As the argument.
        adds_bos: As the argument.
        adds_eos: As the argument.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer,
        *,
        everywhere: Iterable[str] = (),
        in_prompts: Iterable[str] = (),
        bos: str = "",
        eos: str = "",
        adds_bos: bool = False,
        adds_eos: bool = False,
    ) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._everywhere = _longest_first(everywhere)
        self._specials = _longest_first([*self._everywhere, *in_prompts])
        self.bos, self.eos = bos, eos
        self.adds_bos, self.adds_eos = adds_bos, adds_eos

    def count(self, text: str) -> int:
        """Return the tokens of a text; texts of control tokens count as plain text.

        Args:
            text: Any text without lone surrogates.
        """
        return self._count(text, self._everywhere)

    def count_rendered(self, text: str) -> int:
        """Return the tokens of a prompt as the engine reads it.

        Args:
            text: A whole prompt, in which texts of special tokens are those tokens. The
                begin-of-text token must not be in it where the engine adds one, which is
                counted here.
        """
        return self.adds_bos + self.adds_eos + self._count(text, self._specials)

    def _count(self, text: str, specials: Iterable[str]) -> int:
        found = 0
        fragments = [text]
        for special in specials:
            if special not in text:
                continue
            parts = [fragment.split(special) for fragment in fragments]
            found += sum(len(part) - 1 for part in parts)
            fragments = [fragment for part in parts for fragment in part if fragment]
        if len(text) > _LONG_CHARS:
            # a batch lets go of the interpreter's lock, and takes threads for it
            batch = self._tokenizer.encode_batch_fast(fragments, add_special_tokens=False)
            return found + sum(map(len, batch))
        encode = self._tokenizer.encode
        return found + sum(
            len(encode(fragment, add_special_tokens=False)) for fragment in fragments
        )


def vocabulary_of(weights: Weights) -> Vocabulary:
    """Return the vocabulary of a weights file, reading the file's head at the first call.

    Reading takes 0.35 s for 150,000 tokens. A file that has changed is read again.

    Args:
        weights: The weights; the tensors in the file are not looked at.

    Raises:
        EngineMissing: The package ``tokenizers`` is not installed.
        InvalidRequest: The file's tokenizer is of a kind that is not known here.
        ModelCorrupt: The vocabulary is damaged.
        ModelUnavailable: There is no such file any more, or it may not be read.
    """
    path = weights.path.absolute()
    try:
        state = os.stat(path)  # noqa: PTH116  next to the errors that its twin in pathlib raises
        version = (state.st_mtime_ns, state.st_size)
    except (OSError, ValueError):  # which the reader tells properly
        version = (0, 0)
    return _loaded(path, weights.name, version)


@functools.lru_cache(maxsize=_KEPT)
def _loaded(path: Path, name: str, _version: tuple[int, int]) -> Vocabulary:
    return vocabulary_from(read_token_tables(path), read_head(path), name=name)


def vocabulary_from(tables: TokenTables, head: Head, *, name: str) -> Vocabulary:
    """Return the vocabulary that a weights file describes.

    Args:
        tables: The file's tokens and merges.
        head: What else the file says of itself.
        name: The model's name.

    Raises:
        EngineMissing: The package ``tokenizers`` is not installed.
        InvalidRequest: The tokenizer is of a kind that is not known here.
        ModelCorrupt: The tables contradict each other.
    """
    if tables.model != "gpt2":
        raise InvalidRequest(
            f"tokens cannot be counted without the engine for a tokenizer of the kind "
            f"{tables.model[:40]!r}; expected gpt2 (byte-level byte-pair encoding)",
            param="model",
        )
    splitting = splitting_named(tables.pre)
    types = tables.types or (1,) * len(tables.tokens)
    typed = list(zip(tables.tokens, types, strict=True))
    in_prompts = [text for text, kind in typed if kind in _IN_PROMPTS or text in _ENDS]
    everywhere = [text for text, kind in typed if kind == _USER_DEFINED and text not in _ENDS]
    return Vocabulary(
        name,
        _byte_level(tables, splitting, name=name),
        everywhere=everywhere,
        in_prompts=in_prompts,
        bos=_text_of(tables, head.bos_id),
        eos=_text_of(tables, head.eos_id),
        adds_bos=splitting.add_bos if head.add_bos is None else head.add_bos,
        adds_eos=bool(tables.add_eos),
    )


def _text_of(tables: TokenTables, number: int | None) -> str:
    known = number is not None and number < len(tables.tokens)
    return tables.tokens[number] if known and number is not None else ""


def _byte_level(tables: TokenTables, splitting: Splitting, *, name: str) -> Tokenizer:
    try:
        from tokenizers import (  # of an extra: only who counts for an embedded model needs it
            Regex,
            Tokenizer,
            models,
            pre_tokenizers,
        )
    except ImportError as error:
        raise EngineMissing(
            "counting an embedded model's tokens needs the package tokenizers, which is not "
            "installed: pip install 'deltaweir[local]'"
        ) from error
    ids = {text: number for number, text in enumerate(tables.tokens)}
    merges: list[tuple[str, str]] = []
    for merge in tables.merges:
        at = merge.find(" ", 1)  # a blank may stand first
        merges.append((merge[:at], merge[at + 1 :]))
    try:
        tokenizer = Tokenizer(models.BPE(ids, merges, ignore_merges=splitting.whole_words))
    except Exception as error:  # the library has no type of its own for it
        raise ModelCorrupt(
            f"{name} has merges of texts that are no tokens; wanted a vocabulary that fits them"
        ) from error
    rules = [pre_tokenizers.Split(Regex(rule), behavior="isolated") for rule in splitting.rules]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*rules, to_bytes])
    return tokenizer


def _longest_first(texts: Iterable[str]) -> tuple[str, ...]:
    """Sort texts by their length in bytes, as the engine does, without empty ones."""
    return tuple(sorted({text for text in texts if text}, key=_falling))


def _falling(text: str) -> tuple[int, str]:
    return (-len(text.encode()), text)
