"""What is hot is locked before it is read, with what it is used with, until others are quiet."""

from __future__ import annotations

from deltaweir.stores.postgres_hot import Hot
from deltaweir.stores.versioned_books import Fields


def test_what_one_request_uses_is_locked_together() -> None:
    """Also what others were not faster with: they are about to use it as well."""
    hot = Hot()
    hot.add(["a", "b"], late=["a"])
    assert [hot.group(name) for name in "abc"] == [("a", "b"), ("a", "b"), ()]
    assert hot.group("a") == ("a", "b")


def test_what_is_hot_cools_when_others_are_quiet() -> None:
    """It is so as long as it was not, when it was locked, as it had been left."""
    hot, known = Hot(), dict[str, Fields]({"a": {b"v": b"1"}, "b": {}, "c": {}})
    hot.add(["a", "b"], late=["a", "b"])
    hot.leave(known)
    assert known == {"c": {}}
    hot.look({"a": {b"v": b"2"}, "b": {}})
    assert hot.group("a") == ("a", "b")
    hot.leave({"a": {b"v": b"3"}, "b": {b"v": b"3"}})
    hot.look({"a": {b"v": b"3"}, "b": {b"v": b"3"}})
    assert hot.group("a") == hot.group("b") == ()


def test_a_batch_is_locked_once() -> None:
    """When it is tried again, and of it only what is hot; then each record is by itself."""
    hot, names = Hot(), [f"{number}" for number in range(20)]
    hot.add(["3", "x"], late=["x"])
    hot.add(names, late=["5", "7"])
    known = dict[str, Fields]({name: {b"v": b"1"} for name in names})
    hot.leave(known)
    assert sorted(set(names) - set(known)) == ["3", "5", "7"]
    assert hot.group("1") == ()
    assert hot.group("7") == ("3", "5", "7")
    assert [hot.group(name) for name in ("3", "5", "7")] == [("3", "x"), ("5",), ("7",)]


def test_a_batch_that_was_not_let_in_is_locked_whole() -> None:
    """Nobody knows by whom; none of it is hot for that."""
    hot, names = Hot(), [f"{number}" for number in range(20)]
    hot.add(names, late=names)
    assert hot.group("5") == tuple(names)
    assert hot.group("5") == ()


def test_where_nobody_was_faster_nothing_is_hot() -> None:
    """Such as where the server has lost what this process wrote."""
    hot = Hot()
    hot.add(["a"], late=[])
    assert hot.group("a") == ()


def test_what_is_hot_is_bounded() -> None:
    """Where it is too much, all is thought to be quiet."""
    hot = Hot()
    for number in range(2000):
        hot.add([f"{number}"], late=[f"{number}"])
    assert hot.group("1999")
    assert not hot.group("0")
