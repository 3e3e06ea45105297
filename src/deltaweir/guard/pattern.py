r"""Regular expressions for rules: a subset of Python's and RE2's, parsed into nodes. Pure.

A rule's pattern is found wherever it matches, however long and however often: there is no
leftmost or greedy match, so a pattern describes a set of words and nothing else. What that
leaves is what can be matched in linear time, one character after the other, while a text is
still arriving.

Supported:

=============================  =================================================================
``a``, ``\.``, ``\-``, ...     the character itself; ``]``, ``}`` and a ``{`` before no digit too
``\n \t \r \f \v \0``          control characters
``\xHH \uHHHH \UHHHHHHHH``     a character by its number
``.``                          any character, **line breaks too**
``\d \w \s``, ``\D \W \S``     ASCII digits, word characters, blanks; and all other characters
``[a-z\d_]``, ``[^...]``       one character out of a set, or not of it
``(...)``, ``(?:...)``         a group; ``(?P<name>...)`` too, whose name means nothing
``a|b``                        one or the other
``? * + {n} {n,} {n,m}``       repeats; their lazy forms ``?? *? +? {n,m}?`` mean the same
``(?i)`` at the beginning      upper and lower case alike, in the whole pattern
``(?i:...)``                   the same, in one group
=============================  =================================================================

On either side of each *top-level* alternative, one condition on the one character beside it:

=============================  =================================================================
``\b``, ``\B``                 a word boundary, or none (ASCII)
``(?<=x)``, ``(?=x)``          this character stands before, after
``(?<!x)``, ``(?!x)``          it does not; at the beginning and the end of a text that is so
=============================  =================================================================

where ``x`` is one character, class, or choice between such. ``\bkey|token\b`` has two
alternatives with a condition each; ``\b(?:key|token)\b`` has one, with two. There are no
anchors, since a rule looks for what is inside a text: ``(?<!.)`` is the text's beginning, and
``(?!.)`` its end, which is known only when all of it has arrived.

Case is Unicode's (``k``, ``K`` and the Kelvin sign; ``s``, ``S`` and long s), but one character
for one: ``ß`` is not ``ss`` (a rule with ``fold`` makes it so). Under ``(?i)`` a negated class
lacks every variant of what it names.

Refused, with the place and the reason: back-references, anchors, possessive repeats, atomic and
conditional groups, recursion, comments, flags other than ``i``, classes by Unicode property or
POSIX name, empty classes, unknown escapes, octal numbers, ``{,m}`` (Python and RE2 disagree
about it), conditions elsewhere than said or of more than one character, repeats of more than
10,000 times, more than 100 nested groups, patterns of more than 100,000 characters, or of more
than 50,000 with repeats multiplied out.
"""

from __future__ import annotations

from deltaweir.guard.classes import EVERY, Ranges, complement
from deltaweir.guard.pattern_escapes import ANCHOR, characters, read_class, read_escape
from deltaweir.guard.pattern_groups import MOST_SIZE, Group, Look, Piece, read_head
from deltaweir.guard.pattern_nodes import (
    Branch,
    Chars,
    Edge,
    Either,
    Node,
    PatternError,
    Repeat,
    Series,
    longest,
    repeat,
    shortest,
)
from deltaweir.guard.pattern_repeats import is_repeat, read_times

__all__ = [
    "MOST_CHARACTERS",
    "MOST_DEPTH",
    "Branch",
    "Chars",
    "Edge",
    "Either",
    "Node",
    "PatternError",
    "Repeat",
    "Series",
    "longest",
    "parse",
    "shortest",
]

MOST_CHARACTERS = 100_000
"""Length of a pattern, in characters; a list of literals is not bound by it."""

MOST_DEPTH = 100
"""Groups within groups; what walks over nodes may count on it."""

_BEHIND = "a look-behind stands only at the beginning of a top-level alternative"
_AHEAD = "a look-ahead stands only at the end of a top-level alternative"
_BOUNDARY = "a word boundary stands only at the beginning or the end of a top-level alternative"
_INSIDE = "a condition on what stands beside a match cannot stand inside a group"
_TWICE = "only one condition can stand on each side of a top-level alternative"
_TOO_LARGE = f"too large: more than {MOST_SIZE} characters with repeats multiplied out"


def parse(pattern: str) -> tuple[Branch, ...]:
    """Return the top-level alternatives of a pattern, each with its own conditions.

    The time this takes grows with the pattern's length, whatever the pattern, and it does not
    recurse.

    Raises:
        PatternError: The pattern is malformed, outside the subset, or too large.
    """
    if len(pattern) > MOST_CHARACTERS:
        reason = f"the pattern has {len(pattern)} characters; at most {MOST_CHARACTERS} may be"
        raise PatternError(MOST_CHARACTERS, reason)
    return _Parser(pattern).parse()


class _Parser:
    """Reads a pattern once, from left to right, with a stack of its own."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.groups = [Group(0, fold=False)]
        self.branches: list[Branch] = []
        self.size = 0
        self.before: Edge | None = None
        self.after: Edge | None = None
        self.after_position = 0

    def parse(self) -> tuple[Branch, ...]:
        if self.pattern.startswith("(?i)"):
            self.groups[0].fold = True
            self.at = len("(?i)")
        while self.at < len(self.pattern):
            self.step(self.pattern[self.at])
        if len(self.groups) > 1:
            raise PatternError(self.groups[-1].position, "this parenthesis is never closed")
        self.end_branch()
        return tuple(self.branches)

    def step(self, sign: str) -> None:
        """Read what begins with a sign."""
        fold = self.groups[-1].fold
        match sign:
            case "\\":
                self.read_escape()
            case "[":
                self.add_chars(*read_class(self.pattern, self.at, fold=fold))
            case ".":
                self.add_chars(EVERY, self.at + 1)
            case "(":
                self.open_group()
            case ")":
                self.close_group()
            case "|":
                self.end_option()
            case "^" | "$":
                raise PatternError(self.at, ANCHOR)
            case _ if is_repeat(self.pattern, self.at):
                self.repeat()
            case _:
                self.add_chars(characters(ord(sign), fold=fold), self.at + 1)

    def add_chars(self, ranges: Ranges, end: int) -> None:
        """Add one character of a set, read up to ``end``."""
        self.add(Piece(Chars(ranges), 1, self.at))
        self.at = end

    def add(self, piece: Piece) -> None:
        if len(self.groups) == 1 and self.after is not None:
            raise PatternError(self.after_position, self.misplaced())
        self.groups[-1].add(piece)

    def read_escape(self) -> None:
        fold = self.groups[-1].fold
        sign = self.pattern[self.at + 1 : self.at + 2]
        if sign in {"b", "B"} and self.groups[-1].look is None:
            edge = Edge("boundary" if sign == "b" else "inside")
            untouched = not self.groups[0].pieces and (self.before or self.after) is None
            self.add_edge(edge, self.at, after=not untouched)
            self.at += 2
        else:
            read, end = read_escape(self.pattern, self.at, fold=fold)
            self.add_chars(characters(read, fold=fold), end)

    def end_option(self) -> None:
        if len(self.groups) == 1:
            self.end_branch()
        else:
            self.groups[-1].end_option()
        self.at += 1

    def end_branch(self) -> None:
        """Make a branch of the top-level alternative that was read, unless it is too large."""
        group = self.groups[0]
        piece = group.take_option()
        self.size += piece.size
        if self.size > MOST_SIZE:
            raise PatternError(piece.position, _TOO_LARGE)
        self.branches.append(Branch(self.before, piece.node, self.after))
        self.before = self.after = None
        group.position = self.at + 1

    def open_group(self) -> None:
        if len(self.groups) > MOST_DEPTH:
            raise PatternError(self.at, f"more than {MOST_DEPTH} nested groups")
        head = read_head(self.pattern, self.at, fold=self.groups[-1].fold)
        if head.look is not None and len(self.groups) > 1:
            raise PatternError(self.at, _INSIDE)
        self.groups.append(Group(self.at, fold=head.fold, look=head.look))
        self.at += head.length

    def close_group(self) -> None:
        if len(self.groups) == 1:
            raise PatternError(self.at, "this parenthesis was never opened")
        group = self.groups.pop()
        piece = group.close()
        if group.look is None:
            self.add(piece)
        else:
            self.add_look(piece.node, group.look, group.position)
        self.at += 1

    def add_look(self, node: Node, look: Look, position: int) -> None:
        if not isinstance(node, Chars):
            raise PatternError(position, "a look-around is of exactly one character")
        ranges = complement(node.ranges) if look.negated else node.ranges
        self.add_edge(Edge("look", ranges, at_end=look.negated), position, after=look.ahead)

    def add_edge(self, edge: Edge, position: int, *, after: bool) -> None:
        """Set the condition on one side, where it may stand and none is set."""
        group = self.groups[0]
        if len(self.groups) > 1:
            raise PatternError(position, _INSIDE)
        if after and self.after is not None:
            raise PatternError(position, _TWICE)
        if not after and (group.pieces or self.after is not None):
            raise PatternError(position, _BEHIND)
        if not after and self.before is not None:
            raise PatternError(position, _TWICE)
        if after:
            self.after, self.after_position = edge, position
        else:
            self.before = edge
        group.last = "nothing"

    def misplaced(self) -> str:
        """Return what is wrong with a condition after which more follows."""
        return _AHEAD if self.after is not None and self.after.kind == "look" else _BOUNDARY

    def repeat(self) -> None:
        group = self.groups[-1]
        if group.last != "piece":
            again = "a repeat of a repeat: put the inner one into a group"
            nothing = "there is nothing here to repeat"
            raise PatternError(self.at, again if group.last == "repeat" else nothing)
        times = read_times(self.pattern, self.at)
        piece = group.pieces.pop()
        copies = max(times.least, 1) if times.most is None else times.most
        size = min(piece.size * copies, MOST_SIZE + 1)
        node = repeat(piece.node, least=times.least, most=times.most)
        position = self.at if size > MOST_SIZE else piece.position
        group.pieces.append(Piece(node, size, position))
        group.last = "repeat"
        self.at = times.end
