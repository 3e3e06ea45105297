"""What was said in a conversation, and what it used. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from deltaweir.meter.account import Account


class Used(NamedTuple):
    """What a conversation's answers used, added up."""

    answers: int = 0
    prompt: int = 0
    completion: int = 0
    cost_usd: float | None = None
    """US dollars of those whose price is known; None where none is."""
    unpriced: int = 0
    """How many answers have no known price."""

    def plus(self, account: Account, cost_usd: float | None) -> Used:
        """Return it with one answer more.

        Args:
            account: What the answer used.
            cost_usd: What it cost, where the account does not know.
        """
        usage = account.usage
        cost = cost_usd if account.cost_usd is None else account.cost_usd
        return Used(
            self.answers + 1,
            self.prompt + ((usage.prompt_tokens or 0) if usage else 0),
            self.completion + (usage.completion_tokens if usage else 0),
            self.cost_usd if cost is None else (self.cost_usd or 0) + cost,
            self.unpriced + (cost is None),
        )


class Transcript:
    """The messages of a conversation, in turn.

    Args:
        system: Instructions that stand before everything and survive a reset.
    """

    def __init__(self, system: str | None = None) -> None:
        self.system = system
        """Instructions that stand before everything; None for none."""
        self.used = Used()
        """What all answers used, those too that were forgotten."""
        self._said: list[Any] = []
        self._asked: str | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self._said)

    def asking(self, text: str) -> list[Any]:
        """Return the messages of a request that asks a question, and keep the question in mind."""
        self._asked = text
        return [*self._opening(), *self._said, {"role": "user", "content": text}]

    def answered(self, message: Any) -> None:
        """Take the answer to what was asked last."""
        self._said += [{"role": "user", "content": self._asked or ""}, message]

    def used_by(self, account: Account, cost_usd: float | None) -> None:
        """Add what an answer used."""
        self.used = self.used.plus(account, cost_usd)

    def retract(self) -> str | None:
        """Take back the last question and its answer, if it has one, and return the question."""
        asked = self._asked
        if asked is not None and self._said and self._said[-2]["content"] == asked:
            del self._said[-2:]
        return asked

    def forget(self) -> None:
        """Forget what was said."""
        self._said.clear()
        self._asked = None

    def as_json(self, model: str) -> str:
        """Return the conversation as JSON: the messages as a request has them."""
        messages = [{"role": _role(one), "content": _content(one)} for one in self._all()]
        document = {"model": model, "messages": messages}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def as_markdown(self, model: str) -> str:
        """Return the conversation as Markdown, each message below a heading."""
        titles = {"system": "Instructions", "user": "You", "assistant": model}
        parts = [f"## {titles[_role(one)]}\n\n{_content(one).strip()}\n" for one in self._all()]
        return "\n".join(parts)

    def _opening(self) -> list[Any]:
        return [{"role": "system", "content": self.system}] if self.system else []

    def _all(self) -> list[Any]:
        return [*self._opening(), *self._said]


def _role(message: Any) -> str:
    return str(message["role"])


def _content(message: Any) -> str:
    return message["content"] or ""
