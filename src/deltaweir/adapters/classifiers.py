"""Classifiers as programs name them: a function of their own, or a moderation endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from deltaweir.adapters.callables import CallableJudge, JudgingFunction
from deltaweir.adapters.moderations import EndpointJudge
from deltaweir.client.provider import provider_of
from deltaweir.errors import InvalidRequest
from deltaweir.guard.findings import Finding
from deltaweir.guard.rules import Scope
from deltaweir.guard.windows import Mode, WindowTerms

ClassifierAction = Literal["flag", "truncate", "block"]

SCOPES: tuple[Scope, ...] = ("content", "reasoning", "refusal")
"""What a classifier may look at; arguments of tools are no sentences."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LONGEST_S = 3600.0
_LONGEST = 100_000


class Classifier:
    """Judge what a model generates while it arrives, in windows that end with a sentence.

    In mode "hold" nothing is shown before it is cleared. In mode "follow" all is shown at
    once, and a verdict cuts what comes after it: up to the verdict the text was seen, a window
    and whatever came while it was judged.

    Args:
        judge: A function of a text, or the address of an OpenAI-compatible provider whose
            ``/moderations`` is asked, such as ``https://api.openai.com/v1``. The function, which
            may be a coroutine function, returns True, a category, or a Finding, if the text is
            not to be shown; False or None otherwise.
        model: The endpoint's model; None leaves the choice to it.
        api_key: The endpoint's key; no other is sent there, whatever the environment has.
        mode: "hold" or "follow".
        timeout_s: Seconds for a verdict. A function that takes longer is not waited for, but
            runs on: Python cannot end it.
        action: What a flagged window does: "block" and "truncate" end the stream, "flag" only
            tells.
        name: What it is called in verdicts and errors.
        scope: What it looks at: "content", "reasoning", "refusal".
        longest: Characters of new text in a window.
        patience_s: Seconds that text waits for the end of its sentence.
        overlap: Characters of judged text in front of a window's new text, at most.
        thresholds: The endpoint's scores from which on a category is flagged, from 0 to 1; then
            its own verdict and all other categories count for nothing. None takes its verdict.

    Raises:
        InvalidRequest: An argument is of no use; the message names it.

    May be shared by any number of streams.

    Attributes:
        name: Its name.
        action: What a flagged window does.
        scope: What it looks at.
        terms: How a text is cut into windows for it, its mode among them.
        timeout_s: Seconds for a verdict.
    """

    def __init__(
        self,
        judge: JudgingFunction | str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        mode: Mode = "hold",
        timeout_s: float = 2.0,
        action: ClassifierAction = "block",
        name: str = "classifier",
        scope: Sequence[Scope] | Scope = ("content",),
        longest: int = 200,
        patience_s: float = 0.25,
        overlap: int = 50,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self.name = _named(name)
        _check_choice("action", action, ("flag", "truncate", "block"))
        self.action: ClassifierAction = action
        self.scope: tuple[Scope, ...] = (scope,) if isinstance(scope, str) else tuple(scope)
        for one in self.scope or ("",):
            _check_choice("scope", one, SCOPES)
        _check_choice("mode", mode, ("hold", "follow"))
        _check_number("timeout_s", timeout_s, 0.001, _LONGEST_S)
        _check_number("longest", longest, 1, _LONGEST, whole=True)
        _check_number("patience_s", patience_s, 0, _LONGEST_S)
        _check_number("overlap", overlap, 0, _LONGEST, whole=True)
        self.terms = WindowTerms(mode, longest, patience_s, overlap)
        self.timeout_s = timeout_s
        self._judge: EndpointJudge | CallableJudge
        if isinstance(judge, str):
            self._judge = EndpointJudge(
                provider_of(judge, api_key=api_key),
                model=model,
                thresholds=_checked(thresholds),
                name=name,
                timeout_s=timeout_s,
            )
            return
        if not callable(judge):
            got = type(judge).__name__
            raise _unusable("judge", f"a {got}", "a function of a text, or an address")
        for option, value in {"model": model, "api_key": api_key, "thresholds": thresholds}.items():
            if value is not None:
                raise _unusable(option, "a value", "none, since a function judges")
        self._judge = CallableJudge(judge, name=name, timeout_s=timeout_s)

    def __repr__(self) -> str:
        return f"Classifier({self.name!r}, mode={self.terms.mode!r}, action={self.action!r})"

    def judge(self, text: str) -> Finding:
        """Return what it says of a text; block until then, or until its time is up.

        Raises:
            ClassifierFailed: It gave no verdict: it failed, took too long, or said what cannot
                be read. The message holds nothing of the text.
        """
        return self._judge.judge(text)

    async def judge_async(self, text: str) -> Finding:
        """Return what it says of a text; await it; see `judge`."""
        return await self._judge.judge_async(text)


def _named(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _unusable("name", repr(name)[:80], "1 to 64 of A-Z a-z 0-9 _ . -")
    return name


def _checked(thresholds: Any) -> Mapping[str, float] | None:
    """Return thresholds that are numbers from 0 to 1 by category."""
    if thresholds is None:
        return None
    if not isinstance(thresholds, Mapping) or not thresholds:
        got = "none" if thresholds == {} else f"a {type(thresholds).__name__}"
        raise _unusable("thresholds", got, "scores by category, such as {'violence': 0.5}")
    for category, score in thresholds.items():
        if not isinstance(category, str):
            raise _unusable("thresholds", f"a category {category!r:.40}", "names of categories")
        _check_number("thresholds", score, 0, 1)
    return thresholds


def _check_choice(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise _unusable(name, repr(value)[:40], f"one of {', '.join(known)}")


def _check_number(name: str, value: Any, least: float, most: float, *, whole: bool = False) -> None:
    kinds = int if whole else int | float
    # written so that NaN is refused too
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        what = "a whole number" if whole else "a number"
        raise _unusable(name, repr(value)[:40], f"{what} from {least:g} to {most:,g}")


def _unusable(name: str, got: str, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"got {got} for a classifier's {name}, expected {wanted}", param=name)
