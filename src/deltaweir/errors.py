"""Every error Deltaweir raises, sorted by who is at fault.

::

    DeltaweirError
     └─ APIError                      (the names of the openai package, 1.0 and later)
         ├─ APIStatusError            an answer with an HTTP status of 400 or above
         │   ├─ BadRequestError       ─ InvalidRequest            caller
         │   │                          ├─ ContextLengthExceeded  caller
         │   │                          ├─ InvalidRule            caller
         │   │                          ├─ InvalidRecording       caller
         │   │                          ├─ GuardBlocked           policy
         │   │                          └─ BudgetExceeded         policy
         │   ├─ AuthenticationError   ─ AuthenticationFailed      caller
         │   ├─ PermissionDeniedError ─ PermissionDenied          caller
         │   ├─ NotFoundError         ─ ModelNotFound             caller
         │   ├─ RateLimitError        ─ RateLimited               policy
         │   └─ InternalServerError   ─ ServiceUnavailable        peer
         ├─ APIConnectionError        ─ ConnectionFailed          network
         │   └─ APITimeoutError       ─ StallTimeout              network
         ├─ StreamTruncated                                       peer
         ├─ StreamFailed                                          peer
         ├─ ClassifierFailed                                      peer
         └─ ModelUnavailable                                      machine
             ├─ ModelCorrupt                                      machine
             └─ EngineMissing                                     machine

Behind a name of the openai package stands ours, which says more and is a subclass: code for that
package catches the one, code for Deltaweir the other. `ModelNotFound` is a `BadRequestError` too.
The last column says who is at fault. A message names what was got and what was wanted, and never
holds text of a prompt, a reply or a key.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from deltaweir.partial import Partial

Fault = Literal["caller", "peer", "network", "policy", "machine"]


class DeltaweirError(Exception):
    """Root of all errors of this package.

    Args:
        message: What was got, what was wanted, what to do next.
        status: The HTTP status this error has, or would have over HTTP.
        code: A stable machine-readable name, as in OpenAI's error bodies.
        param: The request field at fault, where there is one.
        request_id: The id of the request, where one was given.
        partial: What had arrived, where a stream had begun.
    """

    fault: ClassVar[Fault] = "machine"
    default_status: ClassVar[int] = 500
    default_code: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        partial: Partial[Any, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.code = self.default_code if code is None else code
        self.param = param
        self.request_id = request_id
        self.partial = partial

    @property
    def status_code(self) -> int:
        """The same as ``status``, by the name that openai 1.0 and later gives it."""
        return self.status

    @property
    def http_status(self) -> int:
        """The same as ``status``, by the name that openai before 1.0 gives it."""
        return self.status

    @property
    def user_message(self) -> str:
        """The same as ``message``, by the name that openai before 1.0 gives it."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message,), self.__dict__)


class APIError(DeltaweirError):
    """The model's side could not do what was asked."""


class APIStatusError(APIError):
    """The answer has an HTTP status of 400 or above."""

    fault: ClassVar[Fault] = "peer"


class BadRequestError(APIStatusError):
    """The request is malformed (400)."""

    fault: ClassVar[Fault] = "caller"
    default_status = 400
    default_code = "invalid_request"


class AuthenticationError(APIStatusError):
    """The key is missing or wrong (401)."""

    fault: ClassVar[Fault] = "caller"
    default_status = 401
    default_code = "invalid_api_key"


class PermissionDeniedError(APIStatusError):
    """The key may not do this (403)."""

    fault: ClassVar[Fault] = "caller"
    default_status = 403
    default_code = "permission_denied"


class NotFoundError(APIStatusError):
    """What was named does not exist (404)."""

    fault: ClassVar[Fault] = "caller"
    default_status = 404
    default_code = "not_found"


class RateLimitError(APIStatusError):
    """Too many requests, or the quota is spent (429)."""

    fault: ClassVar[Fault] = "policy"
    default_status = 429
    default_code = "rate_limit_exceeded"


class InternalServerError(APIStatusError):
    """The server failed (500 and above)."""

    fault: ClassVar[Fault] = "peer"
    default_status = 500
    default_code = "server_error"


class APIConnectionError(APIError):
    """No answer came, since the connection failed."""

    fault: ClassVar[Fault] = "network"
    default_status = 502
    default_code = "connection_failed"


class APITimeoutError(APIConnectionError):
    """No answer came in time."""

    default_status = 504
    default_code = "timeout"


class InvalidRequest(BadRequestError):
    """The request has a field that is missing, unknown, of the wrong type or out of range."""


class ContextLengthExceeded(InvalidRequest):
    """The prompt does not fit into the model's context.

    Attributes:
        prompt_tokens: Tokens of the prompt, None when unknown.
        context_tokens: Tokens that the model's context holds, None when unknown.
    """

    default_code = "context_length_exceeded"

    def __init__(
        self,
        message: str,
        *,
        prompt_tokens: int | None = None,
        context_tokens: int | None = None,
        **data: Any,
    ) -> None:
        super().__init__(message, **data)
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens


class GuardBlocked(InvalidRequest):
    """A guard refused the prompt; nothing was sent."""

    fault: ClassVar[Fault] = "policy"
    default_code = "content_filter"


class InvalidRule(InvalidRequest):
    """A guard's rule cannot be used.

    Args:
        message: What was got and what was wanted; never the rule's own text.
        rule: The rule's id, where it is known.
        position: Where in its pattern, in characters from 0; None where there is no one place.
        reason: Why, without the names around it.
        **data: As for every error.
    """

    default_code = "invalid_rule"

    def __init__(
        self,
        message: str,
        *,
        rule: str | None = None,
        position: int | None = None,
        reason: str = "",
        **data: Any,
    ) -> None:
        super().__init__(message, **data)
        self.rule = rule
        self.position = position
        self.reason = reason


class InvalidRecording(InvalidRequest):
    """A file is no recording, or one that cannot be played here.

    Args:
        message: What was got, what was wanted, and what to do; never what was recorded.
        line: The line at fault, from 1; None where it is no one line.
        **data: As for every error.
    """

    default_code = "invalid_recording"

    def __init__(self, message: str, *, line: int | None = None, **data: Any) -> None:
        super().__init__(message, **data)
        self.line = line


class BudgetExceeded(InvalidRequest):
    """The prompt alone costs more than the budget; nothing was spent."""

    fault: ClassVar[Fault] = "policy"
    default_code = "budget_exceeded"


class AuthenticationFailed(AuthenticationError):
    """The peer did not accept the key."""


class PermissionDenied(PermissionDeniedError):
    """The key is known but may not do this."""


class ModelNotFound(NotFoundError, BadRequestError):
    """No model has this name; the message names those that exist.

    It is a bad request too, since openai before 1.0 knew no other error for it.
    """

    default_code = "model_not_found"


class RateLimited(RateLimitError):
    """A rate or quota is used up; nothing was spent."""


class ServiceUnavailable(InternalServerError):
    """The peer, or this process at its shutdown, takes no more requests."""

    default_status = 503
    default_code = "service_unavailable"


class ConnectionFailed(APIConnectionError):
    """The peer could not be reached, or the connection broke before an answer."""


class StallTimeout(APITimeoutError):
    """One of the stream's clocks ran out while waiting for the peer."""

    default_code = "stall_timeout"


class StreamTruncated(APIError):
    """The stream ended without saying that it was complete."""

    fault: ClassVar[Fault] = "peer"
    default_status = 502
    default_code = "upstream_truncated"


class StreamFailed(APIError):
    """The source of a stream died, or sent what no reader can understand."""

    fault: ClassVar[Fault] = "peer"
    default_status = 502
    default_code = "upstream_failed"


class ClassifierFailed(APIError):
    """A classifier gave no verdict: it failed, took too long, or said what cannot be read.

    The message says why, and holds nothing of the text, nor what the classifier said.
    """

    fault: ClassVar[Fault] = "peer"
    default_status = 502
    default_code = "classifier_failed"


class ModelUnavailable(APIError):
    """The embedded model cannot be had on this machine; the message names the ways out."""

    default_status = 503
    default_code = "model_unavailable"


class ModelCorrupt(ModelUnavailable):
    """A weights file is damaged or is not what the catalogue pins."""

    default_code = "model_corrupt"


class EngineMissing(ModelUnavailable):
    """The engine of the embedded model is not installed, or does not run here."""

    default_code = "engine_missing"
