"""The windows of a text that a classifier judges, and what may be shown before it has. Pure.

A classifier reads what the rules have let through, in windows that end with a sentence where
there is one. Each character is new in one window only; what stands in front of a window's new
text was judged before, and is there so that a sentence is not read without its beginning.

A full stop ends a sentence only if a blank follows, so the character after it is awaited: it
may be the point of a number. No window is made of blanks alone while more may come, since
nothing can be found in it.
"""

from __future__ import annotations

import collections
from typing import Literal, NamedTuple

Mode = Literal["hold", "follow"]

ENDS = frozenset(".!?\u2026")
"""What ends a sentence if a blank follows."""
WIDE_ENDS = frozenset("\u3002\uff01\uff1f")
"""What ends a sentence of Chinese or Japanese, whatever follows."""
LINE_ENDS = frozenset("\n\r\u2028\u2029")
CLOSERS = frozenset("\"')]}\u00bb\u2019\u201d\u203a\u3009\u300b\u300d\u300f\u3011\uff09\uff3d")
"""What belongs to the sentence that it follows."""


class WindowTerms(NamedTuple):
    """How a text is cut into windows.

    Attributes:
        mode: "hold" shows what is cleared; "follow" shows all at once, until a window is found
            bad: what it shows by then was seen.
        longest: Characters of new text in a window.
        patience_s: Seconds that a character waits for its sentence to end.
        overlap: Characters of judged text in front of a window's new text, at most.
    """

    mode: Mode = "hold"
    longest: int = 200
    patience_s: float = 0.25
    overlap: int = 50


class Window(NamedTuple):
    """A piece of text to be judged.

    Attributes:
        text: Text that was judged before, and the new text behind it.
        upto: How many characters of the whole text are judged once this window is.
    """

    text: str
    upto: int

    def __repr__(self) -> str:
        return f"Window({len(self.text)} characters, upto={self.upto})"


class Windows:
    """The windows of one text.

    After each `take`, each `clear`, and at the `deadline`, ask for the window that is `due`;
    have it judged; then `clear` it, or end the stream. One is out at a time.

    Only text that is not judged is kept, and a little of what was. Not shared between threads.

    Args:
        terms: How it is cut.

    Attributes:
        taken: How many characters have come.
        shown: How many of them may have been shown.
        judged: How many characters were cleared.
    """

    def __init__(self, terms: WindowTerms) -> None:
        self.shown = 0
        self.judged = 0
        self._terms = terms
        self._holds = terms.mode == "hold"
        self.taken = 0
        self._pieces: collections.deque[str] = collections.deque()  # behind the head
        self._used = 0  # characters of the first piece that are in the head
        self._arrivals: collections.deque[tuple[int, float]] = collections.deque()
        self._head = _Head(terms.longest)
        self._before = ""  # what was judged last, one character more than a window may show
        self._out: int | None = None
        self._ended = self._dropped = False

    @property
    def waiting(self) -> bool:
        """Whether any text is not judged."""
        return self.taken > self.judged and not self._dropped

    @property
    def deadline(self) -> float | None:
        """When the text that waits is due; None when none waits, or a window is out."""
        if not self.waiting or self._out is not None:
            return None
        arrived = self._arrivals[0][1]
        return arrived if self._ended else arrived + self._terms.patience_s

    def take(self, text: str, now: float) -> str:
        """Take the next piece of the text; return what may be shown now.

        Args:
            text: What the rules have let through.
            now: The time in seconds, on any monotonic clock.

        Raises:
            ValueError: The text has ended.
        """
        if self._dropped or not text:
            return ""
        if self._ended:
            raise ValueError("got text after its end")
        self.taken += len(text)
        self._pieces.append(text)
        if self._arrivals and self._arrivals[-1][1] == now:
            self._arrivals.pop()
        self._arrivals.append((self.taken, now))
        if self._holds:
            return ""
        self.shown = self.taken
        return text

    def due(self, now: float) -> Window | None:
        """Return the window to be judged now, on the clock of `take`; None while one is out."""
        if self._out is not None or not self.waiting:
            return None
        self._fill()
        size = self._size(late=now >= (self.deadline or 0.0))
        if not size:
            return None
        self._out = size
        return Window(self._context() + self._head.text[:size], self.judged + size)

    def clear(self, upto: int) -> str:
        """Take note that the window that is out is clean; return what may be shown now.

        Args:
            upto: The window's own.

        Raises:
            ValueError: No such window is out.
        """
        if self._dropped:
            return ""
        size = self._out
        if size is None or upto != self.judged + size:
            raise ValueError(f"got a verdict up to character {upto}, and no such window is out")
        self._out = None
        text = self._head.cut(size)
        self.judged = upto
        while self._arrivals and self._arrivals[0][0] <= upto:
            self._arrivals.popleft()
        # one more, to tell whether a word begins behind it
        self._before = (self._before + text)[-self._terms.overlap - 1 :]
        if not self._holds:
            return ""
        self.shown = upto
        return text

    def end(self) -> None:
        """Take note that no more text comes: what is left is due at once."""
        self._ended = True

    def drop(self) -> None:
        """Show nothing more, and forget the text."""
        self._dropped = True
        self._out = None
        self._pieces.clear()
        self._arrivals.clear()
        self._head = _Head(self._terms.longest)
        self._before = ""

    def _fill(self) -> None:
        """Bring as much into the head as one window can need."""
        while self._pieces and (room := self._head.room):
            piece = self._pieces[0]
            self._head.add(piece[self._used : self._used + room])
            self._used += room
            if self._used >= len(piece):
                self._pieces.popleft()
                self._used = 0

    def _size(self, *, late: bool) -> int:
        """Return how many characters the next window has; 0 while it is not ready."""
        head = self._head
        if self._ended and not self._pieces and len(head.text) <= self._terms.longest:
            return len(head.text)
        if head.sentence:
            return head.sentence
        return head.forced() if late or len(head.text) >= self._terms.longest else 0

    def _context(self) -> str:
        """Return what stands in front of a window, from the beginning of a word."""
        kept = self._before
        if len(kept) <= self._terms.overlap:
            return kept  # all of the text so far
        text = kept[1:]
        if kept[0].isspace() or text[:1].isspace():
            return text.lstrip()
        words = text.split(None, 1)
        if len(words) > 1:
            return words[1]
        return text if text and not text[-1].isspace() else ""


class _Head:
    """The text that the next window is cut from, each character looked at as it comes.

    Args:
        longest: Characters of a window; one more is looked at, for what it tells of those.

    Attributes:
        text: The text.
        sentence: How many characters the last whole sentence ends behind; 0 for none.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self.text = ""
        self._forget()

    @property
    def room(self) -> int:
        """How many more characters a window could need."""
        return self._longest + 1 - len(self.text)

    def add(self, text: str) -> None:
        """Add text, no more than there is room for."""
        at = len(self.text)
        self.text += text
        for character in text:
            self._see(at, character)
            at += 1

    def cut(self, size: int) -> str:
        """Remove a window from the text and return it."""
        text, rest = self.text[:size], self.text[size:]
        self.text = ""
        self._forget()
        self.add(rest)
        return text

    def forced(self) -> int:
        """Return where a window ends that cannot wait for a sentence's end."""
        size = min(len(self.text), self._longest)
        if self._open == size and not self._in_number(size):
            return size
        return self._blank or size

    def _forget(self) -> None:
        self.sentence = 0
        self._open = 0  # where a sentence may have ended, if what follows says so
        self._wide = False
        self._blank = 0  # behind the last blank that follows a word
        self._worded = False

    def _see(self, at: int, character: str) -> None:
        """Look at a character for ends of sentences and words up to it."""
        blank = character.isspace()
        if self._open:
            more = character in CLOSERS or self._ends(character)
            if more and at < self._longest:
                self._open = at + 1
                return
            if more or blank or self._wide:
                self.sentence = self._open
            self._open = 0
        if at >= self._longest:
            return
        self._worded = self._worded or not blank
        if not self._worded:
            return
        if self._ends(character):
            self._open = at + 1
        elif blank:
            self._blank = at + 1
            if character in LINE_ENDS:
                self.sentence = at + 1

    def _ends(self, character: str) -> bool:
        if character in WIDE_ENDS:
            self._wide = True
            return True
        if character not in ENDS:
            return False
        self._wide = self._wide and bool(self._open)
        return True

    def _in_number(self, size: int) -> bool:
        """Tell whether a full stop at the very end may be a decimal point."""
        return self.text[size - 1] == "." and self.text[size - 2 : size - 1].isdigit()
