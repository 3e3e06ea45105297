"""Where a prompt goes, decided from what the caller said. Pure."""

from __future__ import annotations

from deltaweir.errors import InvalidRequest


def check_destination(*, base_url: str | None, api_key: str | None) -> None:
    """Refuse a provider, which this release cannot reach, rather than answer in its place.

    Raises:
        InvalidRequest: An address or a key of a provider was given.
    """
    for name, value in (("base_url", base_url), ("api_key", api_key)):
        if value is not None:
            raise InvalidRequest(
                f"got {name}, but this release answers from the embedded model only; "
                f"leave {name} out, or use the openai package for that provider",
                param=name,
            )
