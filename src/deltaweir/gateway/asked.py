"""A client's request, checked: who asks, for which model, on which terms, and for what."""

from __future__ import annotations

from typing import Any, NamedTuple

from deltaweir.client.clocks import Timeouts
from deltaweir.client.destination import Settings
from deltaweir.client.embedded import Call, call_of
from deltaweir.client.guarding import guarded
from deltaweir.client.requests import request_of, streamed
from deltaweir.gateway.routing import Route
from deltaweir.gateway.service import Caller
from deltaweir.gateway.terms import Terms
from deltaweir.guard.policy import Policy
from deltaweir.meter.budget import Limit
from deltaweir.schema.request import AnyRequest

MOST_USER_CHARS = 256
"""What is kept of the ``user`` of a request, since it stands in every row of the ledger."""


class Asked(NamedTuple):
    """A checked request, with everything its stream needs."""

    call: Call
    fields: dict[str, Any]
    """The request as it came, without what is for this server."""
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
    def wants_stream(self) -> bool:
        """Whether the client asked for a stream."""
        return bool(self.call.request.stream)

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


def check_embedded(fields: dict[str, Any], embedded: str, policy: Policy, *, chat: bool) -> Call:
    """Return the call of a request that the embedded model answers.

    Raises:
        InvalidRequest: The model cannot do what is asked.
        GuardBlocked: A guard refuses the prompt.
    """
    call = call_of(fields, chat=chat, settings=Settings(guard=policy))
    call.request.model = embedded
    return call


def check_forwarded(fields: dict[str, Any], policy: Policy, limit: Limit, *, chat: bool) -> Call:
    """Return the call of a request that an upstream answers, which may allow more than OpenAI.

    Args:
        fields: The request.
        policy: The guards that look at it.
        limit: What limits it.
        chat: Whether it is a chat completion.

    Raises:
        InvalidRequest: A field has another type; or it asks for what cannot be cut.
        GuardBlocked: A guard refuses the prompt.
    """
    if not fields.get("stream"):
        if limit:
            streamed(fields, "budget")
        elif policy.reads_answers:
            streamed(fields, "guard")
    request, guard = guarded(request_of(fields, chat=chat), policy)
    return Call(request, Timeouts(), limit, guard)
