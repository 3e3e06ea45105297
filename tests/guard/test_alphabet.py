"""Characters that no rule tells apart are one."""

from __future__ import annotations

from deltaweir.guard.alphabet import Alphabet


def test_a_character_has_the_classes_it_is_in() -> None:
    """As bits of their numbers, up to the last code point."""
    one = Alphabet([((97, 99),), ((99, 0x10FFFF),)], folds=False)
    assert [one.classes(character) for character in "`abcd\U0010ffff"] == [0, 1, 1, 3, 2, 2]
    assert one.atom("c") == (3, ())
    assert len(one.atoms()) == 4


def test_folding_shows_what_a_character_stands_for() -> None:
    """None for one that is skipped, several for a ligature."""
    one = Alphabet([((97, 122),)], folds=True)
    assert one.atom("\u200b").folded == ()
    assert one.atom("\ufb01").folded == (1, 1)
    assert one.atom("A") == (0, (1,))
