"""Where a prompt goes, decided from what the caller and the environment say. Pure.

A catalogue name or the path of a GGUF file means the embedded model, whatever the environment
says; only an address or a key given as an argument sends it elsewhere. Otherwise it goes, in
this order: where the arguments say; to ``DELTAWEIR_BASE_URL``; with ``OPENAI_API_KEY`` to
``OPENAI_BASE_URL`` or OpenAI; else to the embedded model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from deltaweir.client.clocks import Timeouts, timeouts_of
from deltaweir.client.provider import RETRIES, Provider, provider_of
from deltaweir.errors import InvalidRequest
from deltaweir.guard.policy import NOTHING, Policy
from deltaweir.meter.budget import NO_LIMIT, Limit, limit_of
from deltaweir.recorded_request import record_to
from deltaweir.recording import speed_of

OPENAI = "https://api.openai.com/v1"
"""Where a key without an address belongs."""


class Settings(NamedTuple):
    """What a client was told about its provider, and how to reach it; None where nothing.

    Its repr tells no key.
    """

    base_url: str | None = None
    api_key: str | None = None
    organization: str | None = None
    project: str | None = None
    headers: Mapping[str, str] | None = None
    query: Mapping[str, str] | None = None
    retries: int = RETRIES
    timeouts: Timeouts = Timeouts()
    limit: Limit = NO_LIMIT
    guard: Policy = NOTHING
    record: Any = None
    """Where streams are recorded, as the caller said it."""
    replay_speed: Any = None
    """How fast recordings are played, likewise."""
    resume: bool = False

    def __repr__(self) -> str:
        return f"Settings(base_url={self.base_url!r})"


def provider_for(
    settings: Settings, environ: Mapping[str, str], *, embedded: bool
) -> Provider | None:
    """Return the provider a prompt goes to; None for the embedded model.

    Args:
        settings: What the client was told.
        environ: The environment.
        embedded: Whether the model's name can only mean the embedded model.

    Raises:
        InvalidRequest: The address is none, or a value is of no use.
    """
    base_url, key = settings.base_url, settings.api_key
    if base_url is None and key is not None:
        base_url = environ.get("OPENAI_BASE_URL") or OPENAI
    if base_url is None:
        if embedded:
            return None
        base_url, key = _from(environ)
    if base_url is None:
        return None
    return provider_of(
        base_url,
        api_key=key,
        organization=settings.organization or environ.get("OPENAI_ORG_ID"),
        project=settings.project or environ.get("OPENAI_PROJECT_ID"),
        headers=settings.headers,
        query=settings.query,
        retries=settings.retries,
    )


def _from(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    ours = environ.get("DELTAWEIR_BASE_URL")
    if ours:
        return ours, environ.get("DELTAWEIR_API_KEY")
    key = environ.get("OPENAI_API_KEY")
    return (environ.get("OPENAI_BASE_URL") or OPENAI, key) if key else (None, None)


def check_settings(settings: Settings) -> None:
    """Refuse arguments that no request could be made with.

    Raises:
        InvalidRequest: The address is none, or a value is of no use.
    """
    provider_for(settings, {}, embedded=False)
    checked_resume(settings.resume)
    record_to(settings.record)
    speed_of(settings.replay_speed)


def checked_resume(resume: Any) -> bool:
    """Return whether streams are to be resumed.

    Raises:
        InvalidRequest: The value is neither true nor false.
    """
    if not isinstance(resume, bool):
        raise InvalidRequest(
            f"got a resume of type {type(resume).__name__}, expected True or False",
            param="resume",
        )
    return resume


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return settings with what a client's ``with_options`` was given, its ``guard`` as a policy.

    Raises:
        InvalidRequest: An option is unknown, or a timeout is no number.
    """
    known = {"default_headers": "headers", "default_query": "query", "max_retries": "retries"}
    plain = {known.get(name, name): value for name, value in changes.items()}
    timeouts, timeout = plain.pop("timeouts", None), plain.pop("timeout", None)
    unknown = set(plain) - set(Settings._fields) - {"budget"}
    if unknown:
        raise InvalidRequest(f"got an unknown option {min(unknown)!r}", param=min(unknown))
    clocks = timeouts_of(timeouts, timeout, base=settings.timeouts)
    limit = limit_of(plain.pop("budget")) if "budget" in plain else settings.limit
    return settings._replace(**plain, timeouts=clocks, limit=limit)
