"""A prompt never goes where the caller did not send it, nor elsewhere than he sent it."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.client.clocks import Timeouts
from deltaweir.client.destination import Settings, changed, check_settings, provider_for
from deltaweir.errors import InvalidRequest

KEY = "a-key-of-somebody"
OURS = {"DELTAWEIR_BASE_URL": "https://ours.example/v1", "DELTAWEIR_API_KEY": "ours"}
OPENAI = {"OPENAI_API_KEY": "openai"}
ELSEWHERE = {**OPENAI, "OPENAI_BASE_URL": "https://elsewhere.example/v1"}
HERE = Settings(base_url="https://here.example/v1", api_key="here")


@pytest.mark.parametrize(
    ("settings", "environ", "embedded", "host", "key"),
    [
        (Settings(), {}, False, None, None),
        (Settings(), OURS, False, "ours.example", "ours"),
        (Settings(), OURS | ELSEWHERE, False, "ours.example", "ours"),
        (Settings(), OPENAI, False, "api.openai.com", "openai"),
        (Settings(), ELSEWHERE, False, "elsewhere.example", "openai"),
        (Settings(), {"OPENAI_BASE_URL": "https://x"}, False, None, None),
        (Settings(), OURS | ELSEWHERE, True, None, None),
        (HERE, OURS | ELSEWHERE, False, "here.example", "here"),
        (HERE, OURS | ELSEWHERE, True, "here.example", "here"),
        (Settings(base_url="http://h"), ELSEWHERE, False, "h", None),
        (Settings(api_key=KEY), {}, False, "api.openai.com", KEY),
        (Settings(api_key=KEY), ELSEWHERE, False, "elsewhere.example", KEY),
    ],
)
def test_where_a_prompt_goes(
    settings: Settings, environ: dict[str, str], embedded: bool, host: Any, key: Any
) -> None:
    """Arguments, then our variables, then OpenAI's; an embedded name stays here all the same.

    A key of the environment never goes to an address that only the caller named.
    """
    provider = provider_for(settings, environ, embedded=embedded)
    assert (provider and provider.origin.host) == host
    assert (provider and provider.api_key) == key


@pytest.mark.parametrize(
    "settings",
    [Settings(base_url=""), Settings(base_url="ftp://x"), Settings(base_url="h", api_key=KEY)],
)
def test_an_address_that_is_none_is_refused(settings: Settings) -> None:
    """An address is checked before anything is asked, and no key is shown."""
    with pytest.raises(InvalidRequest, match="base_url") as caught:
        check_settings(settings)
    assert KEY not in str(caught.value)
    assert KEY not in repr(settings)


def test_options_change_what_they_name() -> None:
    """`with_options` keeps all that it is not given."""
    base = HERE._replace(timeouts=Timeouts(stall=7))
    other = changed(base, {"max_retries": 5, "timeout": 3, "default_headers": {"x": "y"}})
    assert (other.retries, other.headers, other.base_url) == (5, {"x": "y"}, base.base_url)
    assert (other.timeouts.total, other.timeouts.stall) == (3, 7)
    with pytest.raises(InvalidRequest, match="unknown option 'retrys'"):
        changed(base, {"retrys": 1})
