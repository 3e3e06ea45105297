"""What had arrived when a stream failed. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

ReplyT = TypeVar("ReplyT")
UsageT = TypeVar("UsageT")


class Partial(Generic[ReplyT, UsageT]):
    """Say what had arrived when a stream failed.

    Args:
        reply: The reply put together so far, as the whole call would return it.
        usage: The token counts so far, or what counts them.

    Attributes:
        reply: The reply put together so far, as the whole call would return it.
    """

    def __init__(self, *, reply: ReplyT, usage: UsageT | Callable[[], UsageT]) -> None:
        self.reply = reply
        self._usage = usage

    @property
    def usage(self) -> UsageT:
        """The token counts so far, or None when nothing was counted; counted when first read."""
        usage = self._usage
        if callable(usage):
            usage = self._usage = usage()
        return usage

    def __repr__(self) -> str:
        return f"Partial(usage={self.usage!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_partial, (self.reply, self.usage))


def _partial(reply: Any, usage: Any) -> Partial[Any, Any]:
    return Partial(reply=reply, usage=usage)
