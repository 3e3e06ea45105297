"""Where a text must stop: at the first stop sequence, however the text is cut. Pure.

The engine can look for stop sequences itself, but loses the text that it held back for one
when the answer ends for another reason. So it is not told of them.
"""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Let a text through up to its first stop sequence.

    The sequence that is whole first ends the text, and of several that end together the
    longest. So the outcome is the same however the text is cut into pieces.

    Args:
        sequences: The texts to stop at, none of them empty.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self.found = False
        """Whether a sequence has come; what follows it is dropped."""
        self._sequences = sequences
        self._held = ""

    def feed(self, text: str) -> str:
        """Take more text and return what can belong to no stop sequence."""
        if self.found:
            return ""
        if not self._sequences:
            return text
        known = self._held + text
        matches = [
            (at + len(sequence), at)
            for sequence in self._sequences
            if (at := known.find(sequence)) >= 0
        ]
        if matches:
            self.found = True
            self._held = ""
            return known[: min(matches)[1]]
        keep = max(_overlap(known, sequence) for sequence in self._sequences)
        self._held = known[len(known) - keep :]
        return known[: len(known) - keep]

    def finish(self) -> str:
        """Return what was held back, since the text has ended without a stop sequence."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, sequence: str) -> int:
    """Return the length of the longest end of a text that a sequence begins with."""
    longest = min(len(text), len(sequence) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(sequence[:size])), 0)
