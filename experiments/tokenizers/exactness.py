"""Compare the counts of a tokenizer with tiktoken's: every code point, and hostile texts.

Usage: exactness.py TOKENIZER ENCODING [RANDOM_TEXTS]

Every code point but the surrogates stands in every context below; then come random texts
drawn from the places where pre-tokenisers part. Code points that make a difference are printed,
and texts without them cut down to what differs; the exit code is 1 when there are any.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

from candidates import Count, counter, set_reference

# around one character: letters of both cases, digits, blanks, apostrophes, newlines, marks
CONTEXTS = (
    "{}",
    "a{}b",
    "A{}a",
    "a{}A",
    "A{}B",
    "1{}2",
    "12{}3",
    " {} ",
    "  {}x",
    "\n{}\n",
    "{}\r\n",
    "'{}",
    "x'{}",
    "it{}'s",
    "'l{}",
    "!{}!",
    "!{}\n/",
    "中{}文",
    "e\u0301{}e",
    "{0}{0}",
)
SURROGATES = range(0xD800, 0xE000)
SHOWN = 10
ALPHABET = (
    *"abcxyzABCXYZ0123456789",
    *"   \t\n\r\n\v\f\x85\xa0\u2003\u2028\u3000",
    *"''''\u2019sStTdDmM",
    *("'s", "'S", "'ll", "'LL", "'re", "'ve", "'\u017f", "'\u212a"),
    *'!?.,;:/\\-_()[]{}<>"#@$%^&*+=|~`',
    *"éßñçøÅΩжЯאبहไ中文한글あア\u01c5\u02b0\u0130\u0131",
    *"\u0301\u0308\u0489\u200d\u200c\ufe0f\u20e3\u0e31\u093f",
    *"٣५Ⅷ½²①𝟙\U00010107",
    *"😀👩🏽🚀🇩🇪\U0001f468\u200d",
    *"\x00\x01\x1c\x1f\x7f\xad\u061c\ufeff\ufffd\uffff\U0010ffff\ue000",
    *("<|endoftext|>", "<|fim_prefix|>", "<|start|>", "    ", "\n\n\n", "the ", "ing"),
)


def code_points() -> Iterator[str]:
    """Yield every character in every context."""
    for context in CONTEXTS:
        for point in range(0x110000):
            if point not in SURROGATES:
                yield context.format(chr(point))


def hostile_texts(number: int) -> Iterator[str]:
    """Yield random texts of 1 to 60 pieces, one in four of them with any code point inside."""
    chance = random.Random(1)  # noqa: S311 - a fixed seed, so that a difference can be repeated
    for index in range(number):
        pieces = chance.choices(ALPHABET, k=chance.randint(1, 60))
        if index % 4 == 0:
            point = chance.randrange(0x110000)
            pieces[chance.randrange(len(pieces))] = "" if point in SURROGATES else chr(point)
        yield "".join(pieces)


def differing(texts: Iterator[str], count: Count, reference: Count) -> list[str]:
    """Print how many texts were compared, and return those whose counts differ."""
    compared, found = 0, list[str]()
    for text in texts:
        compared += 1
        if count(text) != reference(text):
            found.append(text)
    print(f"  {compared:,} texts, {len(found):,} differ")
    return found


def shortest(text: str, count: Count, reference: Count) -> str:
    """Take characters out of a text for as long as the counts still differ."""
    for index in range(len(text)):
        rest = text[:index] + text[index + 1 :]
        if count(rest) != reference(rest):
            return shortest(rest, count, reference)
    return text


def ranges(points: set[int]) -> str:
    """Write code points as ranges."""
    runs = list[list[int]]()
    for point in sorted(points):
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return " ".join(f"{one:04X}" if one == last else f"{one:04X}-{last:04X}" for one, last in runs)


def main() -> int:
    """Compare one tokenizer in one encoding."""
    name, encoding, *rest = sys.argv[1:]
    set_reference()
    count, reference = counter(name, encoding), counter("tiktoken", encoding)
    print(f"{name} {encoding}")
    points = {max(map(ord, one)) for one in differing(code_points(), count, reference)}
    print(f"  code points that differ in some context, {len(points):,}: {ranges(points)}")
    found = differing(hostile_texts(int(rest[0]) if rest else 1_000_000), count, reference)
    others = [one for one in found if points.isdisjoint(map(ord, one))]
    print(f"  without one of these code points: {len(others):,}")
    for text in others[:SHOWN]:
        less = shortest(text, count, reference)
        print(f"    {less!a}: {count(less)}, not {reference(less)}")
    return 1 if points or found else 0


if __name__ == "__main__":
    sys.exit(main())
