"""What an error tells whoever runs a gateway, and what of it a client may hear. Pure.

Errors of upstreams end with a hint on what to set otherwise. A client of the gateway has nothing
to set; the log keeps the hint. Hints are known by their exact words, so that nothing else that
an upstream said can get into the log as one.
"""

from __future__ import annotations

import re

from deltaweir.errors import DeltaweirError

_HINT = re.compile(
    r"(?:; (check the base_url, or ask without stream"
    r"|raise the timeout '[a-z_]+' to wait longer)"
    r"| \((check the base_url and the model's name|check the api_key|this key may not do that"
    r"|wait, or ask for a higher limit|redirections are not followed; change the base_url)\))\Z"
)


def hint_of(message: str) -> str | None:
    """Return the hint that a message ends with; None where it has none."""
    found = _HINT.search(message)
    return None if found is None else found[1] or found[2]


def without_hint(message: str) -> str:
    """Return a message without the hint that it ends with."""
    return _HINT.sub("", message)


def plain(error: DeltaweirError) -> DeltaweirError:
    """Return an error without its hint, which is changed for that."""
    shown = without_hint(error.message)
    if shown != error.message:
        error.message = shown
        error.args = (shown,)
    return error
