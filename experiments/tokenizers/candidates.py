"""The tokenizers under comparison, each as a function from a text to its number of tokens."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

Count = Callable[[str], int]

NAMES = ("toktok", "splintr", "tiktoken")
ENCODINGS = ("o200k_base", "cl100k_base", "o200k_harmony")

_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def counter(name: str, encoding: str) -> Count:
    """Return the count of one tokenizer for one encoding; nothing is loaded before."""
    if name == "toktok":
        import toktok

        count: Count = toktok._encoding(encoding).count  # noqa: SLF001 - one text, no threads
        return count
    if name == "splintr":
        import splintr  # type: ignore[import-not-found]

        encode = splintr.Tokenizer.from_pretrained(encoding).encode_ordinary
        return lambda text: len(encode(text))
    return reference(encoding)


def prepare_reference(folder: Path) -> None:
    """Write the vocabularies inside toktok's wheel as the files that tiktoken downloads.

    tiktoken compares them with the SHA-256 it has of OpenAI's files, so this also shows that
    the wheel carries those vocabularies, to the byte.
    """
    import toktok

    for encoding in ("o200k_base", "cl100k_base"):
        tokens = toktok._encoding(encoding).token_byte_values()  # noqa: SLF001 - as above
        lines = (b"%s %d\n" % (base64.b64encode(one), rank) for rank, one in enumerate(tokens))
        key = hashlib.sha1(_ADDRESS.format(encoding).encode(), usedforsecurity=False)
        (folder / key.hexdigest()).write_bytes(b"".join(lines))


def reference(encoding: str) -> Count:
    """Return tiktoken's count, its vocabulary read from the folder TIKTOKEN_CACHE_DIR."""
    import tiktoken

    encode = tiktoken.get_encoding(encoding).encode_ordinary
    return lambda text: len(encode(text))


def set_reference() -> None:
    """Prepare the reference in a folder of its own and name the folder to tiktoken."""
    folder = Path(tempfile.mkdtemp(prefix="vocabularies-"))
    prepare_reference(folder)
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
