"""``best_of``: the likeliest of several answers."""

from __future__ import annotations

from deltaweir.sources.local.best import keep_best
from deltaweir.types import TextChoice, TextLogprobs, TextReply


def reply(*scores: list[float | None]) -> TextReply:
    """Return a reply whose choices have these log probabilities."""
    return TextReply(
        choices=[
            TextChoice(index=at, text=str(at), logprobs=TextLogprobs(token_logprobs=one))
            for at, one in enumerate(scores)
        ]
    )


def test_the_likeliest_per_token_is_kept() -> None:
    """A longer answer is not worse for being longer."""
    kept = keep_best(reply([-2.0], [-1.0, -1.0, -1.0], [-3.0]), each=3, keep=1, logprobs=True)
    assert [(one.index, one.text) for one in kept.choices] == [(0, "1")]
    assert kept.choices[0].logprobs is not None


def test_each_prompt_keeps_its_own_and_is_numbered_anew() -> None:
    """Choices 0 and 1 answer the first prompt, 2 and 3 the second."""
    kept = keep_best(reply([-2.0], [-1.0], [-1.0], [-2.0]), each=2, keep=1, logprobs=False)
    assert [(one.index, one.text) for one in kept.choices] == [(0, "1"), (1, "2")]


def test_scores_that_nobody_asked_for_are_taken_away() -> None:
    """They were generated for the choice alone."""
    kept = keep_best(reply([-1.0], [-2.0]), each=2, keep=2, logprobs=False)
    assert [one.logprobs for one in kept.choices] == [None, None]


def test_an_empty_answer_is_the_least_likely() -> None:
    """Without tokens, or with tokens that have no score, there is nothing to rank by."""
    kept = keep_best(reply([], [-9.0], [None]), each=3, keep=1, logprobs=False)
    assert kept.choices[0].text == "1"
