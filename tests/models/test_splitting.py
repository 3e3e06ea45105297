"""Names of word splitting mean llama.cpp's rules, and unknown names are refused."""

from __future__ import annotations

import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import Sequence, Split

from deltaweir.errors import InvalidRequest
from deltaweir.models.splitting import splitting_named


def words(name: str, text: str) -> list[str]:
    """Split a text by the rules of a name."""
    rules = splitting_named(name).rules
    splitter = Sequence([Split(Regex(rule), behavior="isolated") for rule in rules])
    return [word for word, _ in splitter.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-2", "I|'|LL| pay| 1234|!|  \n|\n|x"),
        ("smollm", "I|'|LL| pay| |1|2|3|4|!|  \n|\n|x"),
        ("qwen2", "I|'LL| pay| |1|2|3|4|!|  \n\n|x"),
        ("qwen35", "I|'LL| pay| |1|2|3|4|!|  \n\n|x"),
        ("llama-bpe", "I|'LL| pay| |123|4|!|  \n\n|x"),
        ("dbrx", "I|'LL| pay| |123|4|!|  \n\n|x"),
        ("default", "I|'|LL| pay| |123|4|!|  \n|\n|x"),
    ],
)
def test_names_split_differently(name: str, expected: str) -> None:
    """Digits, contractions, blanks and line breaks show which rules are in force."""
    assert words(name, "I'LL pay 1234!  \n\nx") == expected.split("|")


def test_a_file_without_a_name_gets_the_default() -> None:
    """An empty name means what the engine takes where the key is missing."""
    assert splitting_named("") is splitting_named("default")


def test_marks_stay_with_letters_for_qwen35_only() -> None:
    """A combining accent ends a word for qwen2 and not for qwen35."""
    assert words("qwen35", "e\u0301a") == ["e\u0301a"]
    assert words("qwen2", "e\u0301a") == ["e", "\u0301a"]


def test_an_unknown_name_is_refused() -> None:
    """Rules that are not known are no ground for a count; the message names those that are."""
    with pytest.raises(InvalidRequest, match=r"'kimi-k2'.*qwen2"):
        splitting_named("kimi-k2")
