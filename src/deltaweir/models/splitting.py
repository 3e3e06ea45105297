"""How a byte-level vocabulary splits a text into words before it looks for tokens.

A weights file names the rules only (``tokenizer.ggml.pre``); the rules are llama.cpp's, since
its reading of a text is the one that counts. Each rule of a name's list splits what the rules
before it have left. What a rule does not match is a word as well.

Names that are not here are refused: a count by near-by rules would look exact and be wrong.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from deltaweir.errors import InvalidRequest


class Splitting(NamedTuple):
    """Say how texts are split into words."""

    rules: tuple[str, ...]
    """Regular expressions in Oniguruma's dialect, applied one after the other."""
    whole_words: bool = False
    """Whether a word that is a token is taken as it is, before any merge is tried."""
    add_bos: bool = False
    """Whether a prompt begins with the begin-of-text token where the file does not say."""


_CONTRACTED = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _worded(digits: str) -> str:
    return (
        rf"{_CONTRACTED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_BLANKS}"
    )


_QWEN35 = (
    rf"{_CONTRACTED}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_BLANKS}"
)

_NAMED: Final = (
    # what the engine takes for files that name no rules
    ("default", Splitting((r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"))),
    (
        "gpt-2 phi-2 gigachat mellum exaone4 a.x-4.0 mpt olmo jais trillion granite-docling",
        Splitting((_GPT2,)),
    ),
    (
        "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
        Splitting((r"\p{N}", _GPT2)),
    ),
    (
        "qwen2 deepseek-r1-qwen kormo megrez stablelm2 hunyuan solar-open",
        Splitting((_worded(r"\p{N}"),)),
    ),
    ("qwen35", Splitting((_QWEN35,))),
    ("dbrx smaug-bpe", Splitting((_worded(r"\p{N}{1,3}"),))),
    (
        "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2",
        Splitting((_worded(r"\p{N}{1,3}"),), whole_words=True, add_bos=True),
    ),
)
_SPLITTINGS: Final = {name: splitting for names, splitting in _NAMED for name in names.split()}


def splitting_named(name: str) -> Splitting:
    """Return the rules that a weights file names.

    Args:
        name: What stands under ``tokenizer.ggml.pre``; empty for files without that key.

    Raises:
        InvalidRequest: The rules are not known here.
    """
    found = _SPLITTINGS.get(name or "default")
    if found is None:
        known = ", ".join(sorted(_SPLITTINGS))
        raise InvalidRequest(
            f"tokens cannot be counted without the engine for a vocabulary that splits texts as "
            f"{name[:40]!r}; expected one of: {known}",
            param="model",
        )
    return found
