"""What is being read of a pattern: its groups, from within and by their beginnings. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

from deltaweir.guard.pattern_nodes import Chars, Node, PatternError, either, series

MOST_SIZE = 50_000
"""Characters a pattern may have with its repeats multiplied out: each is a state or more."""

_DIGITS = frozenset("0123456789")
_NAME = _DIGITS | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")

_NAME_FORM = "groups are named by (?P<name>...) only"
_REFUSED = (
    ("(?P=", "back-references are not supported"),
    ("(?P>", "calls of groups are not supported"),
    ("(?&", "calls of groups are not supported"),
    ("(?R", "recursion is not supported"),
    ("(?>", "atomic groups are not supported"),
    ("(?(", "conditional groups are not supported"),
    ("(?|", "branch resets are not supported"),
    ("(?#", "comments are not supported"),
    ("(?<", _NAME_FORM),
    ("(?'", _NAME_FORM),
    ("(?P", _NAME_FORM),
    ("(?i)", "(?i) stands only at the pattern's beginning: elsewhere write (?i:...)"),
)


class Look(NamedTuple):
    """A look-around: whether at what comes after, and whether for what must not be there."""

    ahead: bool
    negated: bool


_LOOKS = (
    ("(?<=", Look(ahead=False, negated=False)),
    ("(?<!", Look(ahead=False, negated=True)),
    ("(?=", Look(ahead=True, negated=False)),
    ("(?!", Look(ahead=True, negated=True)),
)


class Head(NamedTuple):
    """A group's beginning: its length, whether the group folds case, and its condition."""

    length: int
    fold: bool
    look: Look | None = None


def read_head(pattern: str, at: int, *, fold: bool) -> Head:
    """Read the beginning of the group whose parenthesis stands at ``at``.

    Args:
        pattern: The whole pattern.
        at: Where.
        fold: Whether case is folded around the group.

    Raises:
        PatternError: It is a group of another kind than those of the subset.
    """
    if not pattern.startswith("(?", at):
        return Head(1, fold)
    if pattern.startswith("(?:", at):
        return Head(3, fold)
    if pattern.startswith("(?i:", at):
        return Head(4, fold=True)
    if pattern.startswith("(?P<", at):
        return Head(_name_end(pattern, at) - at, fold)
    for head, look in _LOOKS:
        if pattern.startswith(head, at):
            return Head(len(head), fold, look)
    for head, reason in _REFUSED:
        if pattern.startswith(head, at):
            raise PatternError(at, reason)
    known = pattern[at + 2 : at + 3] in _NAME | {"-"}
    raise PatternError(at, "inline flags other than i are not supported" if known else _UNKNOWN)


_UNKNOWN = "a group of an unknown kind: write \\( if the parenthesis is meant"


def _name_end(pattern: str, at: int) -> int:
    start = end = at + len("(?P<")
    while end < len(pattern) and pattern[end] in _NAME:
        end += 1
    if end == start or pattern[start] in _DIGITS or not pattern.startswith(">", end):
        raise PatternError(at, "a group's name is made of letters, digits and _")
    return end + 1


class Piece(NamedTuple):
    """A node, its size with repeats multiplied out, and what to blame if that is too large."""

    node: Node
    size: int
    position: int


class Group:
    """A group whose inside is being read; the outermost is the pattern itself.

    Args:
        position: Where it begins.
        fold: Whether case is folded inside.
        look: The condition it is, if it is one.

    Attributes:
        pieces: What was read of the alternative that is being read.
        last: What was read last: "piece" alone can be repeated.
    """

    def __init__(self, position: int, *, fold: bool, look: Look | None = None) -> None:
        self.position = position
        self.fold = fold
        self.look = look
        self.pieces: list[Piece] = []
        self.last: Literal["nothing", "piece", "repeat"] = "nothing"
        self._options: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """Take what was read."""
        self.pieces.append(piece)
        self.last = "piece"

    def end_option(self) -> None:
        """Begin the next alternative."""
        self._options.append(self.take_option())

    def take_option(self) -> Piece:
        """Return the alternative that was read, and begin another."""
        pieces, self.pieces, self.last = self.pieces, [], "nothing"
        return _joined(series([piece.node for piece in pieces]), pieces, self.position)

    def close(self) -> Piece:
        """Return the whole group."""
        self.end_option()
        options = self._options
        return _joined(either([option.node for option in options]), options, self.position)


def _joined(node: Node, pieces: list[Piece], position: int) -> Piece:
    """Return a node with the size of its pieces, and what to blame if that is too large."""
    if isinstance(node, Chars):
        return Piece(node, 1, position)
    size = 0
    for piece in pieces:
        size += piece.size
        if size > MOST_SIZE:
            return Piece(node, size, piece.position)
    # An empty option is worth a state too, or a repeat of ten thousand would hide it.
    return Piece(node, max(size, 1), position)
