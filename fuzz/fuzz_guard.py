"""`guard.filter.TextFilter`: what brute force gives, however a text is cut and wherever it ends."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.engine import instrumented, run

with instrumented("deltaweir.guard"):
    from tests.guard.grammar import ALPHABET, FOLDED, limited_rules, small_rules
    from tests.guard.outcomes import agree, agree_on_endings
    from tests.guard.planted import RULES, SECRETS, SPARE

    from deltaweir.errors import InvalidRule
    from deltaweir.guard.plan import Plan, plan_for
    from deltaweir.guard.rules import Rule

PLANTED, SMALL, FOLDING, LIMITED, PATTERN = range(5)
"""What an input's first byte asks for: known rules, rules made from its bytes, or a pattern."""
LONGEST = 60
"""Characters of a text; brute force takes the square of it."""
SIZES = (1, 1, 2, 3, 5, 9, 40)


class Choices:
    """Take choices from bytes; once these have run out, the first there is."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    def __call__(self, below: int) -> int:
        """Return a number below another one."""
        taken, self.left = self.left[:1], self.left[1:]
        return (taken or b"\0")[0] % below


def planted(data: bytes) -> str:
    """Return a text whose bytes are secrets, nearly secrets, or characters."""
    fragments = SECRETS + SPARE
    parts = []
    for byte in data[: LONGEST // 2]:
        if byte < 2 * len(fragments):
            whole = fragments[byte // 2]
            parts.append(whole if byte % 2 else whole[: 1 + byte % len(whole)])
        else:
            parts.append(chr(byte))
    return "".join(parts)[: 2 * LONGEST]


def compiles(data: bytes) -> None:
    """Let any text be a pattern: it makes a plan, or an error that names the rule."""
    pattern = data[:80].decode("utf-8", "surrogateescape")
    try:
        Plan([Rule(id="fuzz", regex=pattern)])
    except InvalidRule as error:
        message, culprit = str(error), error.rule
        if culprit != "fuzz" or (len(pattern) > 2 and pattern in message):
            raise AssertionError(message) from error


def check(seed: int, data: bytes) -> None:
    """Hold the filter against the reference, in all the ways of cutting."""
    kind, data = (data[:1] or b"\0")[0] % 5, data[1:]
    if kind == PATTERN:
        compiles(data)
        return
    chance = random.Random(seed)  # noqa: S311  # repeatable
    choose = Choices(data)
    rules: tuple[Rule, ...] = RULES
    if kind == PLANTED:
        text = planted(data)
    else:
        maker = limited_rules if kind == LIMITED else small_rules
        rules = maker(choose, folds=kind == FOLDING)
        letters = FOLDED if kind == FOLDING else ALPHABET
        text = "".join(letters[byte % len(letters)] for byte in choose.left[:LONGEST])
        text = text or "".join(chance.choices(letters, k=chance.randint(1, 20)))
    agree(rules, text, [chance.choice(SIZES) for _ in text])
    agree_on_endings(rules, text, step=1 + seed % 4)
    plan_for.cache_clear()


def seeds() -> list[bytes]:
    """Return inputs of each kind."""
    chance = random.Random(5)  # noqa: S311  # repeatable
    made = [
        b"%c%b" % (kind, chance.randbytes(size))
        for kind in (PLANTED, SMALL, FOLDING, LIMITED)
        for size in (8, 20, 30, 60, 80)
    ]
    patterns = [rule.regex.encode() for rule in RULES if rule.regex is not None]
    return [*made, *(b"%c%b" % (PATTERN, pattern) for pattern in patterns)]


if __name__ == "__main__":
    run("guard", check, seeds())
