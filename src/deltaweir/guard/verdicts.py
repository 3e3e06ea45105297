"""What a guard has found, and what it did about it. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from deltaweir.guard.rules import Action

STRICTNESS: dict[Action, int] = {"flag": 0, "redact": 1, "truncate": 2, "block": 3}
"""Which of two actions is the stricter: the one with the larger number."""

MOST_VERDICTS = 1000
"""How many verdicts one text keeps; what is found beyond is hidden all the same."""


class Verdict(NamedTuple):
    """One rule's find in one run of hidden characters; it never holds the text itself.

    Attributes:
        rule: The rule's id.
        action: What was done: the strictest action of all rules in the run.
        choice: The choice it was found in; None in a prompt.
        field: The field, as `deltaweir.schema.texts` names it.
        offset: Where the find begins, in characters of the generated text from 0; of the
            decoded arguments for tool calls.
        length: How many characters it has.
    """

    rule: str
    action: Action
    choice: int | None
    field: str
    offset: int
    length: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as readers of a stream get it."""
        return self._asdict()
