"""The errors by the names of the openai package before 1.0: ``openai.error``."""

from deltaweir.errors import APIConnectionError, APIError, AuthenticationError, RateLimitError
from deltaweir.errors import APITimeoutError as Timeout
from deltaweir.errors import BadRequestError as InvalidRequestError
from deltaweir.errors import DeltaweirError as OpenAIError
from deltaweir.errors import InternalServerError as ServiceUnavailableError
from deltaweir.errors import PermissionDeniedError as PermissionError  # noqa: A004

__all__ = [
    "APIConnectionError",
    "APIError",
    "AuthenticationError",
    "InvalidRequestError",
    "OpenAIError",
    "PermissionError",
    "RateLimitError",
    "ServiceUnavailableError",
    "Timeout",
]
