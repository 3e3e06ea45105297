"""Tokenizers by the name of their encoding, each loaded when it is first asked for.

All count by splintr-rs, chosen by ``experiments/tokenizers``, which also lists where its counts
differ from tiktoken's. It has the vocabularies of o200k_base and cl100k_base inside; that of
p50k_base and r50k_base is in ``ranks/``. Nothing is ever downloaded.

o200k_harmony, p50k_edit and gpt2 differ from one of these by their special tokens alone. The
text of a special token counts as plain text here, so each shares the loaded vocabulary.
"""

from __future__ import annotations

import importlib.resources
import sys
import threading
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deltaweir.errors import EngineMissing, InvalidRequest
from deltaweir.meter.tokens import Tokenizer

_VOCABULARIES = {
    "o200k_base": "o200k_base",
    "o200k_harmony": "o200k_base",
    "cl100k_base": "cl100k_base",
    "p50k_base": "p50k_base",
    "p50k_edit": "p50k_base",
    "r50k_base": "r50k_base",
    "gpt2": "r50k_base",
}

ENCODINGS: tuple[str, ...] = tuple(_VOCABULARIES)
"""The names of the encodings there are tokenizers for, as tiktoken spells them."""

_BUILT_IN = frozenset({"o200k_base", "cl100k_base"})
_SHOWN_NAME_CHARS = 80
_R50K_RANKS = 50_256  # p50k_base goes on with runs of blanks


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Count the tokens of whole texts in one encoding. May be shared between threads.

    Attributes:
        name: The encoding's name, as tiktoken has it.
    """

    name: str
    _encode: Callable[[str], list[int]]
    _spell: Callable[[int], bytes]

    def count(self, text: str) -> int:
        """Return the number of tokens of a text; that of special tokens is plain text.

        Args:
            text: A text without surrogates: ``deltaweir.meter.tokens.mended`` removes them.

        Raises:
            UnicodeEncodeError: The text holds a surrogate.
        """
        return len(self._encode(text))

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text; that of special tokens is plain text.

        Args:
            text: A text of ASCII: elsewhere tokens may end within a character.

        Raises:
            UnicodeDecodeError: A token is not ASCII.
        """
        # interned, since a long piece is made of few different tokens
        return [sys.intern(str(self._spell(token), "ascii")) for token in self._encode(text)]


_loading = threading.Lock()
_encodings: dict[str, Any] = {}
_tokenizers: dict[str, Tokenizer] = {}


def tokenizer_of(encoding: str) -> Tokenizer:
    """Return the tokenizer of an encoding; from any thread, and each is loaded once.

    The first call for a vocabulary loads it, about 0.04 s and 31 MB for o200k_base; calls that
    come meanwhile wait.

    Args:
        encoding: One of ``ENCODINGS``.

    Raises:
        InvalidRequest: No encoding has this name; the message names those that exist.
        EngineMissing: The library that counts this encoding is not installed.
    """
    ready = _tokenizers.get(encoding)
    if ready is not None:
        return ready
    vocabulary = _VOCABULARIES.get(encoding)
    if vocabulary is None:
        got = encoding[:_SHOWN_NAME_CHARS] + "..." * (len(encoding) > _SHOWN_NAME_CHARS)
        raise InvalidRequest(
            f"no encoding is called {got!r}; there are: {', '.join(ENCODINGS)}", param="encoding"
        )
    with _loading:
        if vocabulary not in _encodings:
            _encodings[vocabulary] = _encoding(vocabulary)
        loaded = _encodings[vocabulary]
        ready = Vocabulary(encoding, loaded.encode_ordinary, loaded.decode_token_bytes)
        return _tokenizers.setdefault(encoding, ready)


def ranks_of(encoding: str) -> dict[bytes, int]:
    """Return the tokens of p50k_base or r50k_base with their ranks, special tokens left out.

    Args:
        encoding: ``p50k_base`` or ``r50k_base``.
    """
    tokens = dict(_packed_tokens())
    if encoding == "p50k_base":
        return tokens
    return {token: rank for token, rank in tokens.items() if rank < _R50K_RANKS}


def _packed_tokens() -> Iterator[tuple[bytes, int]]:
    folder = importlib.resources.files(__package__).joinpath("ranks")
    data = zlib.decompress(folder.joinpath("p50k_base.zlib").read_bytes())
    start = rank = 0
    while start < len(data):
        end = start + 1 + data[start]
        if data[start]:  # 0 is the place of a special token
            yield data[start + 1 : end], rank
        start, rank = end, rank + 1


def _encoding(vocabulary: str) -> Any:
    try:
        import splintr
    except ImportError as error:  # some platforms have no wheel of it
        raise EngineMissing(
            f"{vocabulary} cannot be counted here: pip install splintr-rs",
            code="tokenizer_missing",
            param="encoding",
        ) from error
    if vocabulary in _BUILT_IN:
        return splintr.Tokenizer.from_pretrained(vocabulary)
    lines = (b"%b %d\n" % (b64encode(token), rank) for token, rank in ranks_of(vocabulary).items())
    return splintr.Tokenizer.from_bytes(b"".join(lines), splintr.GPT2_PATTERN)
