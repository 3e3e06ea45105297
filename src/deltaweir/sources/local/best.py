"""``best_of``: of several whole answers keep the likeliest. Pure."""

from __future__ import annotations

from deltaweir.schema.chunk import TextChoice
from deltaweir.schema.reply import TextReply


def keep_best(reply: TextReply, *, each: int, keep: int, logprobs: bool) -> TextReply:
    """Return the reply with the likeliest choices of each prompt, numbered anew.

    The likeliest has the highest log probability per token (OpenAI's reference, ``best_of``).

    Args:
        reply: A reply with the log probabilities of its tokens.
        each: How many choices were generated for each prompt.
        keep: How many of them to keep.
        logprobs: Whether the caller asked for log probabilities himself.
    """
    best: list[TextChoice] = []
    for start in range(0, len(reply.choices), each):
        ranked = sorted(reply.choices[start : start + each], key=_likelihood, reverse=True)
        best += ranked[:keep]
    for index, choice in enumerate(best):
        choice.index = index
        if not logprobs:
            choice.logprobs = None
    reply.choices = best
    return reply


def _likelihood(choice: TextChoice) -> float:
    scores = (
        [one for one in choice.logprobs.token_logprobs if one is not None]
        if choice.logprobs
        else []
    )
    return sum(scores) / len(scores) if scores else float("-inf")
