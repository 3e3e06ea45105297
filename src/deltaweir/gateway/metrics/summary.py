"""What is known of one stream at its end: the log and the metrics read it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Endpoint = Literal["chat", "text", "passthrough"]

NO_UPSTREAM = "none"
"""What logs and metrics call the upstream of a request for which none was asked."""


class Summary(NamedTuple):
    """One request that has ended, streamed or whole; never its content, never a key.

    Attributes:
        stream_id: The run's id.
        request_id: What the answer's ``x-request-id`` said.
        model: What the client asked for.
        upstream: The upstream that was asked last; ``"embedded"`` for the embedded model,
            `NO_UPSTREAM` where none was asked.
        attempts: How many upstreams were asked, retries included.
        key_id: The id of the client's key, which is no secret; None without keys.
        user: The user as the host of the gateway knows them; None where nobody told.
        endpoint: What was asked for; passthrough is relayed and never counted.
        streamed: Whether the answer was a stream.
        ending: As in the ledger: ``complete``, a cut's or a failure's name.
        status: The HTTP status that was sent.
        stopped_by: Who cut the stream; None where nobody did.
        finish_reason: The first choice's; None where there was none.
        prompt_tokens: Tokens of the prompt; None for unknown.
        completion_tokens: Tokens of the answer; None for unknown.
        cost_pico: Picodollars of both; None for unknown.
        source: Where the tokens' numbers come from; None where there are none.
        first_content_s: Seconds from the request to the first content; None without content.
        total_s: Seconds from the request to the answer's end.
        added_s: Seconds of the time to the first content that were the gateway's own; None
            where they were not measured.
        gaps: How many gaps between two contents there were, by power of two: index i counts
            those of ``2**(i-1)`` up to, not including, ``2**i`` milliseconds, index 0 those
            below one.
        withheld_chars: Characters that were generated and that a guard saw, but were never
            shown: for a rule, or since the stream was cut while they were held. Zero without a
            guard.
        code: The code of the error that the client saw; None where there was none.
        tag: What the request's cost is filed under; None where it did not say.
        guard_matches: The rule and the action of all that guards have found, never the text.
        asked_before: The upstreams that were asked before the last, one for each attempt.
    """

    stream_id: str
    request_id: str
    model: str
    upstream: str
    attempts: int
    key_id: str | None
    user: str | None
    endpoint: Endpoint
    streamed: bool
    ending: str
    status: int
    stopped_by: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_pico: int | None
    source: str | None
    first_content_s: float | None
    total_s: float
    added_s: float | None
    gaps: tuple[int, ...]
    withheld_chars: int
    code: str | None = None
    tag: str | None = None
    guard_matches: tuple[tuple[str, str], ...] = ()
    asked_before: tuple[str, ...] = ()
