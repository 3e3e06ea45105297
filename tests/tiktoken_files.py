"""tiktoken with its own vocabularies and no network: the reference of every count."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import splintr
import tiktoken

from deltaweir.adapters.vocabularies import ranks_of

Reference = Callable[[str], tiktoken.Encoding]

STORE = "https://openaipublic.blob.core.windows.net"

# tokens, special ones left out
BUILT_IN = {"o200k_base": 199_998, "cl100k_base": 100_256}

# what tiktoken 0.14 asks for; it compares again when it reads
SHA256 = {
    "o200k_base.tiktoken": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base.tiktoken": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "p50k_base.tiktoken": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    "r50k_base.tiktoken": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}


def written(ranks: dict[bytes, int]) -> bytes:
    """Return ranks in the form of OpenAI's files."""
    return b"".join(b"%s %d\n" % (base64.b64encode(one), ranks[one]) for one in ranks)


def merged_from(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Return the two tokens that were merged into this one: those that its own bytes come to."""
    parts = [bytes([one]) for one in token]
    while len(parts) > 2:
        pairs = [ranks.get(parts[at] + parts[at + 1], len(ranks)) for at in range(len(parts) - 1)]
        at = pairs.index(min(pairs))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    first, second = parts
    return first, second


def gpt2_files(ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Return the merges and the tokens of GPT-2 as its first release wrote them.

    They show a byte as a letter: a printable one as itself, the rest from U+0100 on.
    """
    plain = [one for one in range(256) if chr(one).isprintable() and one != 0x20]
    rest = (one for one in range(256) if one not in plain)
    letters = {one: chr(one) for one in plain} | {one: chr(256 + at) for at, one in enumerate(rest)}

    def shown(token: bytes) -> str:
        return "".join(letters[one] for one in token)

    pairs = (merged_from(one, ranks) for one in ranks if len(one) > 1)
    merges = "".join(f"{shown(first)} {shown(second)}\n" for first, second in pairs)
    tokens = {shown(one): rank for one, rank in ranks.items()} | {"<|endoftext|>": len(ranks)}
    return f"#version: 0.2\n{merges}".encode(), json.dumps(tokens).encode()


def files() -> Iterator[tuple[str, bytes]]:
    """Yield the addresses that tiktoken downloads from, and what it would find there."""
    for name, size in BUILT_IN.items():
        encoding = splintr.Tokenizer.from_pretrained(name)
        ranks = {encoding.decode_token_bytes(rank): rank for rank in range(size)}
        yield f"{STORE}/encodings/{name}.tiktoken", written(ranks)
    for name in ("p50k_base", "r50k_base"):
        yield f"{STORE}/encodings/{name}.tiktoken", written(ranks_of(name))
    merges, tokens = gpt2_files(ranks_of("r50k_base"))
    yield f"{STORE}/gpt-2/encodings/main/vocab.bpe", merges
    yield f"{STORE}/gpt-2/encodings/main/encoder.json", tokens


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Give tiktoken's encodings by name, their vocabularies rebuilt from the wheels.

    tiktoken looks for a file named by the SHA-1 of its address before it downloads anything,
    and compares its SHA-256: so the vocabularies are OpenAI's, to the byte.
    """
    folder: Path = tmp_path_factory.mktemp("vocabularies")
    for address, content in files():
        # compared first, since tiktoken would remove a wrong file and download the right one
        assert hashlib.sha256(content).hexdigest() == SHA256[address.rpartition("/")[2]]
        key = hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
        (folder / key).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        yield tiktoken.get_encoding
