"""Values that the configuration names and the environment holds, so that no secret is in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping

from deltaweir.errors import InvalidRequest

PREFIX = "env:"
"""How a value begins that is the name of an environment variable."""
_OTHERS = "os.environ/"
"""How it begins in LiteLLM's files."""


def resolved(value: str, *, param: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a value, taken from the environment where it is ``env:NAME``.

    Args:
        value: The value as the configuration has it.
        param: The key that has it, for the error.
        environ: Where names are looked up.

    Raises:
        InvalidRequest: The environment has no such name, or an empty value for it; or the value
            names one in LiteLLM's way.
    """
    if value.startswith(_OTHERS):
        name = value.removeprefix(_OTHERS)
        raise InvalidRequest(
            f'{param}: "{_OTHERS}NAME" is LiteLLM\'s way; here it is "{PREFIX}{name or "NAME"}"',
            param=param,
        )
    if not value.startswith(PREFIX):
        return value
    name = value.removeprefix(PREFIX)
    found = environ.get(name)
    if not found:
        raise InvalidRequest(f"the environment has no {name or 'name after env:'}", param=param)
    return found
