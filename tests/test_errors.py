"""Errors: one tree, sorted by who is at fault, each with its data."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from deltaweir import error as classic
from deltaweir import errors
from deltaweir.errors import ContextLengthExceeded, DeltaweirError, ModelNotFound
from deltaweir.partial import Partial
from deltaweir.types import Message, Reply, ReplyChoice, Usage

ALL = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, DeltaweirError)
]


def drawn() -> dict[str, str]:
    """Return each class with its base as the drawing in the module's docstring has them."""
    bases: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        for found in re.finditer(r"(?<![A-Za-z])([A-Z]\w+)", line):
            name = found[1]
            if not hasattr(errors, name) or name in bases or "and a" in line[: found.start()]:
                continue
            while path and path[-1][0] >= found.start():
                path.pop()
            bases[name] = path[-1][1] if path else "Exception"
            path.append((found.start(), name))
    return bases


def test_the_tree_is_as_drawn() -> None:
    """The drawing in the docstring shows every class under its first base."""
    assert drawn() == {kind.__name__: kind.__bases__[0].__name__ for kind in ALL}


def test_the_drawing_says_who_is_at_fault() -> None:
    """The right column is the fault of the class before it; every leaf of the tree has one."""
    column = re.compile(r"(\w+) +(caller|peer|network|policy|machine)(?:$|, )", re.MULTILINE)
    said = dict(column.findall(errors.__doc__ or ""))
    assert said == {name: getattr(errors, name).fault for name in said}
    assert {kind.__name__ for kind in ALL if not kind.__subclasses__()} <= set(said)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("copied", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301  # our own bytes
def test_an_error_keeps_its_data(kind: type[DeltaweirError], copied: Any) -> None:
    """A pickled or copied error has the message, and all data, of the first."""
    reply = Reply(choices=[ReplyChoice(message=Message(content="a"))])
    partial = Partial(reply=reply, usage=Usage(total_tokens=3))
    one = kind("why", status=418, code="c", param="p", request_id="r", partial=partial)
    if isinstance(one, ContextLengthExceeded):
        one.prompt_tokens, one.context_tokens = 5, 4
    again: Any = copied(one)
    assert type(again) is kind
    assert str(again) == "why"
    assert again.partial is not None
    assert again.partial.reply == reply
    assert again.partial.usage == Usage(total_tokens=3)
    mine, its = dict(one.__dict__), dict(again.__dict__)
    del mine["partial"], its["partial"]
    assert its == mine


@pytest.mark.parametrize("kind", ALL)
def test_an_error_without_data_has_defaults(kind: type[DeltaweirError]) -> None:
    """The status is one of HTTP's, no partial is invented, and old names mean the same."""
    one = kind("why")
    assert 400 <= one.status <= 504
    assert one.status == one.status_code == one.http_status
    assert one.message == one.user_message == str(one)
    assert (one.param, one.request_id, one.partial) == (None, None, None)
    assert one.code is None or re.fullmatch("[a-z_]+", one.code)


def test_a_status_and_code_of_zero_or_nothing_are_kept() -> None:
    """What the caller says wins over the class, also when it is falsy."""
    one = DeltaweirError("why", status=0, code="")
    assert (one.status, one.code) == (0, "")


def test_a_long_prompt_tells_both_numbers() -> None:
    """The error of a prompt too long says how long it is and what fits."""
    one = ContextLengthExceeded("why", prompt_tokens=9, context_tokens=8, param="messages")
    assert (one.prompt_tokens, one.context_tokens) == (9, 8)
    assert (one.status, one.code, one.param) == (400, "context_length_exceeded", "messages")


def test_an_unknown_model_is_caught_by_old_and_new_code() -> None:
    """It is not found to code for openai 1.0, and an invalid request to code before."""
    assert ModelNotFound("why").status == 404
    assert issubclass(ModelNotFound, errors.NotFoundError)
    assert issubclass(ModelNotFound, classic.InvalidRequestError)


def test_a_partial_shows_counts_and_no_text() -> None:
    """The repr of what had come does not show a reply's text in a traceback."""
    partial = Partial(reply=Reply(id="the text"), usage=Usage())
    assert repr(partial) == f"Partial(usage={Usage()!r})"


@pytest.mark.parametrize("name", classic.__all__)
def test_classic_names_are_our_classes(name: str) -> None:
    """`deltaweir.error` has the names of openai before 1.0, and nothing of its own."""
    assert issubclass(getattr(classic, name), DeltaweirError)


def test_classic_names_mean_the_same() -> None:
    """Code that catches by the old names catches the errors of ours they stand for."""
    assert issubclass(errors.StallTimeout, classic.Timeout)
    assert issubclass(errors.RateLimited, classic.RateLimitError)
    assert issubclass(errors.ConnectionFailed, classic.APIConnectionError)
    assert issubclass(errors.AuthenticationFailed, classic.AuthenticationError)
    assert issubclass(errors.PermissionDenied, classic.PermissionError)
    assert issubclass(errors.ServiceUnavailable, classic.ServiceUnavailableError)
    assert issubclass(errors.InvalidRequest, classic.InvalidRequestError)
    assert issubclass(errors.StreamFailed, classic.APIError)
    assert classic.OpenAIError is DeltaweirError
