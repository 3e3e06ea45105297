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
        self.by_model: dict[str, Used] = {}
        """The same by the model that answered, the first one first."""
        self._said: list[Any] = []
        self._asked: str | None = None
        self._has_answer = False  # whether the last messages are what was asked, and its answer

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self._said)

    @property
    def has_answer(self) -> bool:
        """Whether what was asked last has an answer."""
        return self._has_answer

    def asking(self, text: str) -> list[Any]:
        """Return the messages of a request that asks a question, and keep the question in mind."""
        self._asked, self._has_answer = text, False
        return self._asking(self._said, text)

    def asking_again(self) -> list[Any] | None:
        """Return the messages of a request that asks the last question anew; None without one.

        An answer that it has is left out of them, and stays until another one is taken.
        """
        if self._asked is None:
            return None
        return self._asking(self._said[:-2] if self._has_answer else self._said, self._asked)

    def answered(self, message: Any, *, broken: bool = False) -> bool:
        """Take the answer to what was asked last, in place of one that it has, and say so.

        Args:
            message: The answer.
            broken: Whether it failed midway; such a one takes no other's place.
        """
        if self._has_answer and broken:
            return False
        if self._has_answer:
            del self._said[-2:]
        self._has_answer = True
        self._said += [{"role": "user", "content": self._asked or ""}, message]
        return True

    def used_by(self, account: Account, cost_usd: float | None, *, model: str) -> None:
        """Add what an answer of a model used."""
        self.used = self.used.plus(account, cost_usd)
        self.by_model[model] = self.by_model.get(model, Used()).plus(account, cost_usd)

    def forget(self) -> None:
        """Forget what was said."""
        self._said.clear()
        self._asked, self._has_answer = None, False

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

    def _asking(self, said: list[Any], text: str) -> list[Any]:
        return [*self._opening(), *said, {"role": "user", "content": text}]

    def _opening(self) -> list[Any]:
        return [{"role": "system", "content": self.system}] if self.system else []

    def _all(self) -> list[Any]:
        return [*self._opening(), *self._said]


def _role(message: Any) -> str:
    return str(message["role"])


def _content(message: Any) -> str:
    return message["content"] or ""
