"""A client's request, checked: who asks, for which model, on which terms, and for what."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from deltaweir.client.clocks import Timeouts
from deltaweir.client.destination import Settings
from deltaweir.client.embedded import Call, call_of
from deltaweir.client.guarding import guarded
from deltaweir.client.requests import check_streamable, request_of
from deltaweir.gateway.answering.terms import Terms
from deltaweir.gateway.keys.access import Caller
from deltaweir.gateway.lanes.bodies import check_parts, fields_of
from deltaweir.gateway.upstreams.routing import Route
from deltaweir.guard.policy import Policy
from deltaweir.meter.budget import Limit
from deltaweir.schema.request import AnyRequest, ChatRequest, TextRequest

MOST_USER_CHARS = 256
"""What is kept of the ``user`` of a request, since it stands in every row of the ledger."""


class Asked(NamedTuple):
    """A checked request, with everything its stream needs."""

    call: Call
    wants_stream: bool
    """Whether the client asked for a stream."""
    route: Route
    terms: Terms
    caller: Caller
    chat: bool
    request_id: str

    @property
    def request(self) -> AnyRequest:
        """The typed request, its prompt as guards let it through."""
        return self.call.request

    @property
    def streamed(self) -> bool:
        """Whether the model is asked for a stream: also where only that can be cut."""
        return bool(
            self.wants_stream
            or self.call.limit
            or self.call.guard.reads_answers
            or self.caller.budgeted
        )

    @property
    def user(self) -> str | None:
        """Who asks: as the host knows them, or as the request says."""
        said = self.request.user
        return self.caller.user or (said and said[:MOST_USER_CHARS])


class Peek(NamedTuple):
    """What must be known of a request before it is looked at as a whole."""

    model: str | None
    """The model it names; None for none, or one of another type."""
    deltaweir: Any
    """What it asks of this server."""


class _Peeked(msgspec.Struct):
    model: Any = None
    deltaweir: Any = None


def peeked(body: bytes) -> Peek:
    """Return what a request's body says of where it goes.

    Raises:
        InvalidRequest: It is not a JSON object.
    """
    check_parts(body)
    try:
        found = _PEEK.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        fields_of(body)  # says what is wrong
        raise
    return Peek(found.model if isinstance(found.model, str) else None, found.deltaweir)


_PEEK = msgspec.json.Decoder(_Peeked)
_OURS = ("deltaweir", "budget", "guard")
"""What is not for a model: options of our clients, of which a guard could be a path. Here both
stand in ``deltaweir``, where a guard is a name."""


def check_embedded(body: bytes, embedded: str, policy: Policy, *, chat: bool) -> Call:
    """Return the call of a request that the embedded model answers.

    Raises:
        InvalidRequest: The model cannot do what is asked.
        GuardBlocked: A guard refuses the prompt.
    """
    fields = {name: value for name, value in fields_of(body).items() if name not in _OURS}
    call = call_of(fields, chat=chat, settings=Settings(guard=policy))
    call.request.model = embedded
    return call


def check_forwarded(body: bytes, policy: Policy, limit: Limit, *, chat: bool) -> Call:
    """Return the call of a request that an upstream answers, which may allow more than OpenAI.

    Args:
        body: The request.
        policy: The guards that look at it.
        limit: What limits it.
        chat: Whether it is a chat completion.

    Raises:
        InvalidRequest: A field has another type; or it asks for what cannot be cut.
        GuardBlocked: A guard refuses the prompt.
    """
    kind = ChatRequest if chat else TextRequest
    typed: AnyRequest = kind.model_validate_json(body)
    if not (typed.messages if isinstance(typed, ChatRequest) else typed.prompt):
        request_of(fields_of(body), chat=chat)  # says so where there are none
    for name in _OURS:
        typed.__dict__.pop(name, None)
    if not typed.stream and isinstance(typed, TextRequest):
        if limit:
            check_streamable(typed.best_of, "budget")
        elif policy.reads_answers:
            check_streamable(typed.best_of, "guard")
    request, guard = guarded(typed, policy)
    return Call(request, Timeouts(), limit, guard)
