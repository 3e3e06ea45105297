"""A guard for tests: it hides literal words, and holds no more than what may become one."""

from __future__ import annotations

from collections.abc import Sequence

from deltaweir.slots import Pass
from deltaweir.weir import Ending


class _Text:
    def __init__(self) -> None:
        self.text = ""
        self.decided = 0
        self.tracked: int | None = None
        self.dropped: int | None = None


class Hiding:
    """Put a star in place of each character of a word.

    Args:
        words: The words it hides.
        fatal: The word at which it calls for an end.
    """

    def __init__(self, *words: str, fatal: str = "") -> None:
        self.words = words
        self.fatal = fatal
        self.verdict: Ending | None = None
        self.deadline: float | None = None
        self.texts: dict[tuple[int, str], _Text] = {}

    def hidden(self, text: str) -> set[int]:
        """Return the characters of a text that belong to a word."""
        return {
            at
            for word in filter(None, (*self.words, self.fatal))
            for start in range(len(text))
            if text.startswith(word, start)
            for at in range(start, start + len(word))
        }

    def feed(self, index: int, field: str, text: str, now: float) -> str:
        """Hold the longest end that a word begins with."""
        assert self.verdict is None
        mine = self.texts.setdefault((index, field), _Text())
        mine.text += text
        words = [word for word in (*self.words, self.fatal) if word]
        live = next(
            start
            for start in range(len(mine.text) + 1)
            if start == len(mine.text)
            or any(
                word != mine.text[start:] and word.startswith(mine.text[start:]) for word in words
            )
        )
        fired = mine.text.find(self.fatal) if self.fatal else -1
        if fired >= 0:
            self.verdict = Ending.BLOCKED
            live = fired
        return self._shown(mine, max(live, mine.decided))

    def _shown(self, mine: _Text, upto: int) -> str:
        hidden = self.hidden(mine.text)
        start, mine.decided = mine.decided, upto
        return "".join("*" if at in hidden else mine.text[at] for at in range(start, upto))

    def passing(self, index: int, field: str) -> Pass:
        """Feed, and tell the verdict."""
        return lambda text, now: (self.feed(index, field, text, now), self.verdict)

    def whole(self, index: int, field: str, text: str) -> bool:
        """Refuse a text with a word in it."""
        if self.hidden(text):
            self.verdict = Ending.BLOCKED
        return self.verdict is None

    def clear(self, index: int, field: str, upto: int) -> str:
        """Let go of the text up to a character."""
        mine = self.texts[index, field]
        return self._shown(mine, max(upto, mine.decided))

    def finish(self, index: int, *, cut: bool) -> Sequence[tuple[str, str]]:
        """Return what is held, unless the text was cut."""
        out = []
        for (choice, field), mine in self.texts.items():
            if choice == index:
                if cut:
                    mine.dropped, mine.decided = mine.decided, len(mine.text)
                else:
                    out.append((field, self._shown(mine, len(mine.text))))
        return out

    def waits(self, index: int) -> bool:
        """Wait for no classifier."""
        return False

    def position(self, index: int, field: str) -> int:
        """Return how much was fed."""
        return len(self.texts[index, field].text) if (index, field) in self.texts else 0

    def decided(self, index: int, field: str) -> int:
        """Return how much of it was shown or hidden."""
        return self.texts[index, field].decided if (index, field) in self.texts else 0

    def track(self, index: int, field: str) -> None:
        """Take note of where questions may begin."""
        mine = self.texts.setdefault((index, field), _Text())
        assert mine.tracked is None, "a field is tracked once"
        mine.tracked = len(mine.text)

    def touches(self, index: int, field: str, start: int, end: int) -> bool:
        """Tell whether any of these was hidden or dropped; asked of decided characters alone."""
        mine = self.texts[index, field]
        assert mine.tracked is not None
        assert mine.tracked <= start < end <= mine.decided
        dropped = len(mine.text) if mine.dropped is None else mine.dropped
        return end > dropped or not self.hidden(mine.text).isdisjoint(range(start, end))

    def began(self, index: int) -> bool:
        """Tell whether any text of a choice was fed."""
        return any(choice == index and mine.text for (choice, _), mine in self.texts.items())

    def hides(self, index: int) -> bool:
        """Tell whether any decided character of a choice was hidden or dropped."""
        return any(
            mine.dropped is not None or any(at < mine.decided for at in self.hidden(mine.text))
            for (choice, _), mine in self.texts.items()
            if choice == index
        )
