"""A group's beginning is told by its kind, and its inside is added up."""

from __future__ import annotations

import pytest

from deltaweir.guard.classes import single
from deltaweir.guard.pattern_groups import MOST_SIZE, Group, Head, Look, Piece, read_head
from deltaweir.guard.pattern_nodes import EMPTY, Chars, Either, PatternError, Series

A = Chars(single(ord("a")))


@pytest.mark.parametrize("fold", [False, True])
def test_groups_of_the_subset_are_known(*, fold: bool) -> None:
    """Each kind of group says how long its beginning is and whether its inside folds case."""
    assert read_head("b(a)", 1, fold=fold) == Head(1, fold)
    assert read_head("(?:a)", 0, fold=fold) == Head(3, fold)
    assert read_head("(?i:a)", 0, fold=fold) == Head(4, fold=True)
    assert read_head("(?P<a_1>a)", 0, fold=fold) == Head(8, fold)
    assert read_head("(?=a)", 0, fold=fold) == Head(3, fold, Look(ahead=True, negated=False))
    assert read_head("(?!a)", 0, fold=fold) == Head(3, fold, Look(ahead=True, negated=True))
    assert read_head("(?<=a)", 0, fold=fold) == Head(4, fold, Look(ahead=False, negated=False))
    assert read_head("(?<!a)", 0, fold=fold) == Head(4, fold, Look(ahead=False, negated=True))


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("(?P=n)", "back-references"),
        ("(?P>n)", "calls of groups"),
        ("(?&n)", "calls of groups"),
        ("(?R)", "recursion"),
        ("(?>a)", "atomic"),
        ("(?(1)a)", "conditional"),
        ("(?|a)", "branch resets"),
        ("(?#a)", "comments"),
        ("(?<n>a)", "(?P<name>...)"),
        ("(?'n'a)", "(?P<name>...)"),
        ("(?P'n'a)", "(?P<name>...)"),
        ("(?P<1>a)", "letters, digits and _"),
        ("(?P<>a)", "letters, digits and _"),
        ("(?P<n", "letters, digits and _"),
        ("(?P<a-b>c)", "letters, digits and _"),
        ("(?P<\u00e9>c)", "letters, digits and _"),
        ("(?i)", "only at the pattern's beginning"),
        ("(?s)", "flags other than i"),
        ("(?im)a", "flags other than i"),
        ("(?-i:a)", "flags other than i"),
        ("(?s:a)", "flags other than i"),
        ("(?~a)", "unknown kind"),
        ("(?", "unknown kind"),
    ],
)
def test_other_groups_are_refused(head: str, reason: str) -> None:
    """A group of any other kind is refused by its name, where its parenthesis stands."""
    with pytest.raises(PatternError) as caught:
        read_head(f"a{head}", 1, fold=False)
    assert (caught.value.position, reason in caught.value.reason) == (1, True)


def test_a_group_adds_up_what_is_in_it() -> None:
    """A group's size is that of all its alternatives, of which an empty one counts as one."""
    group = Group(7, fold=False)
    group.add(Piece(A, 1, 8))
    group.add(Piece(A, 1, 9))
    group.end_option()
    group.end_option()
    group.add(Piece(A, 1, 12))
    node, size, position = group.close()
    assert node == Either((Series((A, A)), EMPTY, A))
    assert (size, position) == (4, 7)


def test_a_group_remembers_where_it_became_too_large() -> None:
    """What first takes a group beyond the limit is to blame, however deep it lies."""
    group = Group(0, fold=False)
    for position, size in ((1, MOST_SIZE), (5, 1), (9, 1)):
        group.add(Piece(Series((A, A)), size, position))
    assert group.close()[1:] == (MOST_SIZE + 1, 5)


def test_only_what_was_just_read_can_be_repeated() -> None:
    """At the beginning of each alternative there is nothing to repeat."""
    group = Group(0, fold=False)
    seen = [group.last]
    group.add(Piece(A, 1, 0))
    seen.append(group.last)
    group.end_option()
    seen.append(group.last)
    assert seen == ["nothing", "piece", "nothing"]
    assert group.pieces == []
