"""What a client's guard does to a call: its prompt is checked here, its answer in the weir."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from deltaweir.adapters.guards import policy_from
from deltaweir.client.answers import SHOWN_CHARS
from deltaweir.client.destination import Settings
from deltaweir.endings import Ending
from deltaweir.errors import DeltaweirError
from deltaweir.guard.arguments import ArgumentsFilter
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.guard import StreamGuard
from deltaweir.guard.policy import NOTHING, OUTPUT, Policy
from deltaweir.guard.prompts import check_request
from deltaweir.guard.verdicts import Verdict
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.request import AnyRequest
from deltaweir.weir import Weir

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
RequestT = TypeVar("RequestT", bound=AnyRequest)
T = TypeVar("T")


class Guarded(NamedTuple):
    """A call's guard, after its prompt was checked."""

    policy: Policy
    verdicts: Sequence[Verdict]
    """What was found in the prompt."""
    stops: Sequence[str] | None = ()
    """The texts at which the request lets the answer end; None for places that are not known."""

    @property
    def reads_answers(self) -> bool:
        """Whether anything looks at what a model generates, and not at prompts alone."""
        return self.policy.reads_answers

    def stream(self) -> StreamGuard | None:
        """Return the guard of the call's answer; None when there are no rules."""
        if not self.policy:
            return None
        return StreamGuard(self.policy, self.verdicts, stops=self.stops)


UNGUARDED = Guarded(NOTHING, ())
"""The guard of a call that has none."""


class GuardedWeir(Weir[ChunkT]):
    """A weir that tells what its guard has found.

    A guard of prompts alone has found all that it will: it is only asked, and holds nothing.

    Args:
        kind: As for a weir.
        guard: The guard.
        **options: As for a weir.
    """

    def __init__(self, kind: type[ChunkT] | None, guard: StreamGuard, **options: Any) -> None:
        super().__init__(kind, guard=guard if guard.policy.reads_answers else None, **options)
        self.guard = guard
        """What holds the rules, also where they look at prompts alone."""

    @property
    def verdicts(self) -> list[Verdict]:
        """What was found so far, in the prompt and in the answer; from any thread."""
        return _read(lambda: self.guard.verdicts)

    @property
    def withheld_chars(self) -> int:
        """How many generated characters were not shown so far; from any thread."""
        return _read(lambda: self.guard.withheld)

    @property
    def held_chars(self) -> int:
        """How many characters wait, at this moment, to be shown or withheld; from any thread."""
        return _read(lambda: self.guard.held)

    def clean(self, error: DeltaweirError) -> None:
        """Take out of an error's words what its server may have repeated of the answer."""
        error.message = self._cleaned(error.message)
        error.code = None if error.code is None else self._cleaned(error.code)
        error.param = None if error.param is None else self._cleaned(error.param)
        error.args = (error.message,)

    def _cleaned(self, text: str) -> str:
        """Return a text without anything that a rule for answers could cover."""
        for scope in OUTPUT:
            plan = self.guard.policy.plan(scope)
            if plan is not None:
                for kind in (TextFilter, ArgumentsFilter):  # as it stands, and with JSON's escapes
                    one = kind(plan, field="error")
                    text = one.feed(text) + one.finish(cut=len(text) >= SHOWN_CHARS)
        return text


class ToldByWeir:
    """How a stream ended and what guards did: by its own weir, and by a server's of ours."""

    _weir: Weir[Any]

    @abc.abstractmethod
    def _server_said(self) -> Mapping[str, Any]:
        """Return what the server has told under ``deltaweir``."""

    @property
    def complete(self) -> bool:
        """Whether the source itself said that all was sent, and nobody had cut it there."""
        return self._weir.complete and self.stopped_by is None

    @property
    def stopped_by(self) -> str | None:
        """Who cut the stream: guard, budget, stop, revoked or reader; None when nobody did."""
        if self._weir.ending is None or self._weir.stopped_by is not None:
            return self._weir.stopped_by
        said = self._server_said().get("stopped_by")
        return said if said in _STOPPERS else None

    @property
    def verdicts(self) -> list[Verdict]:
        """What guards have found so far, in the prompt and the answer; never the text itself."""
        own = self._weir.verdicts if isinstance(self._weir, GuardedWeir) else []
        return own + verdicts_of(self._server_said().get("guard"))

    @property
    def withheld_chars(self) -> int:
        """How many characters were generated and counted, but kept back by guards."""
        said = self._server_said().get("withheld_chars")
        own = self._weir.withheld_chars if isinstance(self._weir, GuardedWeir) else 0
        return own + (said if isinstance(said, int) else 0)

    @property
    def told(self) -> dict[str, Any]:
        """What readers are told of that: who cut, what was found, how much was kept back."""
        told: dict[str, Any] = {
            "stopped_by": self.stopped_by,
            "guard": [verdict.as_dict() for verdict in self.verdicts],
            "withheld_chars": self.withheld_chars,
        }
        return {name: value for name, value in told.items() if value}


_STOPPERS = frozenset(ending.stopped_by for ending in Ending) - {None, "reader"}


def verdicts_of(said: Any) -> list[Verdict]:
    """Return the verdicts that a server has told; what is none is left out."""
    entries = said if isinstance(said, list) else []
    return [
        Verdict(**entry)
        for entry in entries
        if isinstance(entry, dict) and entry.keys() == set(Verdict._fields)
    ]


def guard_in(fields: Mapping[str, Any], settings: Settings) -> Policy:
    """Return the guard of a call: its own and its client's, which add up.

    Rules that were not used before are compiled here, which may take a moment.

    Raises:
        InvalidRule: The ``guard`` is none, or one of its rules cannot be used.
    """
    return ready_policy(fields.get("guard")).joined(settings.guard)


def ready_policy(guard: Any) -> Policy:
    """Return the policy that a ``guard`` means, compiled, so that no stream finds it unusable.

    Raises:
        InvalidRule: It means none, or one of its rules cannot be used.
    """
    policy = policy_from(guard)
    policy.prepare()
    return policy


def with_policy(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's changed options with the policy that a ``guard`` among them means.

    Raises:
        InvalidRule: The ``guard`` is none, or one of its rules cannot be used.
    """
    plain = dict(changes)
    if "guard" in plain:
        plain["guard"] = ready_policy(plain["guard"])
    return plain


def guarded(request: RequestT, policy: Policy) -> tuple[RequestT, Guarded]:
    """Return a request that may be sent, what must not be told replaced; and its guard.

    Raises:
        GuardBlocked: A rule refuses the prompt.
    """
    if not policy:
        return request, UNGUARDED
    checked = check_request(request, policy)
    return checked.request, Guarded(policy, checked.verdicts, stops_of(checked.request))


def stops_of(request: AnyRequest) -> Sequence[str] | None:
    """Return the texts at which a request lets its answer end.

    Whoever chooses them chooses where a text ends, and must not read a secret but its end.
    None means that it has other ways, such as ``stop_token_ids`` or a pattern.
    """
    if any(name.startswith("stop") for name in request.__dict__):
        return None
    stop = request.stop
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _read(figure: Callable[[], T]) -> T:
    """Return what a guard tells while another thread feeds it."""
    while True:
        try:
            return figure()
        except RuntimeError:  # a text began while all were gone through
            continue
