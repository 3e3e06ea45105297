"""The prompts of a request: messages, texts and token ids, as the engine takes them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from deltaweir.errors import ContextLengthExceeded, InvalidRequest
from deltaweir.schema.request import TextRequest

LONGEST_TOKEN = 256
"""Bytes that no token of any vocabulary in use is longer than; 128 spaces are the longest.

The engine needs seconds and a gigabyte to split ten megabytes that cannot fit anyhow, so
what must have too many tokens by its length alone is refused before."""


class Abilities(NamedTuple):
    """What a model can do, as its file says."""

    name: str
    vocabulary: int
    """Tokens it knows; ids run from 0 up to this."""
    tools: bool
    """Whether its chat template shows tools to it."""
    infill: tuple[str, str, str] | None
    """The texts of its prefix, suffix and middle tokens, None when it cannot fill in."""
    context: int | None = None
    """Tokens that prompt and reply may have together, None when unknown."""


def message_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as chat templates know it: text only, and no older function calls.

    Raises:
        InvalidRequest: It has a part that is no text.
    """
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if part["type"] not in ("text", "refusal"):
                raise InvalidRequest(
                    "the embedded model reads text only; got a message part of another type",
                    param="messages",
                )
        message = {**message, "content": "".join(part[part["type"]] for part in content)}
    if message.get("role") == "function":
        message = {**message, "role": "tool", "tool_call_id": f"call_{message.get('name')}"}
    called = message.get("function_call")
    if isinstance(called, dict) and not message.get("tool_calls"):
        call = {"id": f"call_{called.get('name')}", "type": "function", "function": called}
        message = {**message, "tool_calls": [call]}
        del message["function_call"]
    return message


def check_fits(param: str, said: Any, abilities: Abilities) -> None:
    """Refuse what has too many tokens by its length alone, before the engine splits it.

    Args:
        param: The field, ``messages`` or ``prompt``.
        said: The messages, or one prompt.
        abilities: The model.

    Raises:
        ContextLengthExceeded: It cannot fit.
    """
    if abilities.context is None:
        return
    if param == "messages":
        texts = [one["content"] for one in said if isinstance(one.get("content"), str)]
        least = sum(len(text.encode()) for text in texts) // LONGEST_TOKEN
    elif isinstance(said, str):
        least = len(said.encode()) // LONGEST_TOKEN
    else:
        least = len(said)
    if least > abilities.context:
        raise ContextLengthExceeded(
            f"the prompt has at least {least} tokens, but the model's context holds "
            f"{abilities.context}; shorten the prompt",
            prompt_tokens=least,
            context_tokens=abilities.context,
            param=param,
        )


def prompts_of(prompt: str | list[Any]) -> Iterator[str | list[int]]:
    """Yield the prompts of a request, each of which gets choices of its own."""
    if isinstance(prompt, str) or isinstance(prompt[0], int):
        yield prompt
    else:
        yield from prompt


def prompt_of(
    prompt: str | list[int], request: TextRequest, abilities: Abilities
) -> str | list[int]:
    """Return a prompt as the engine is given it.

    Raises:
        ContextLengthExceeded: It must have too many tokens by its length alone.
        InvalidRequest: The model does not know its tokens, or cannot fill in a suffix.
    """
    if request.suffix:
        if abilities.infill is None:
            raise InvalidRequest(
                f"{abilities.name} has no tokens for filling in; leave suffix out", param="suffix"
            )
        if not isinstance(prompt, str):
            raise InvalidRequest("suffix needs a prompt of text", param="suffix")
        before, after, middle = abilities.infill
        prompt = f"{before}{prompt}{after}{request.suffix}{middle}"
    check_fits("prompt", prompt, abilities)
    if isinstance(prompt, list):
        worst = max(prompt)
        if worst >= abilities.vocabulary:
            raise InvalidRequest(
                f"prompt names token {worst}, but {abilities.name} knows tokens 0 to "
                f"{abilities.vocabulary - 1}",
                param="prompt",
            )
    elif not prompt:
        raise InvalidRequest("got an empty prompt, expected a text", param="prompt")
    return prompt


def echo_of(prompt: str | list[int], request: TextRequest) -> str:
    """Return what the choices of a prompt begin with; empty unless an echo was asked for.

    Raises:
        InvalidRequest: The prompt cannot be echoed.
    """
    if not request.echo:
        return ""
    if request.logprobs is not None:
        raise InvalidRequest(
            "the embedded model does not score prompts; ask for echo or for logprobs",
            param="echo",
        )
    if not isinstance(prompt, str):
        raise InvalidRequest(
            "the embedded model echoes prompts of text only, not of token ids", param="echo"
        )
    return prompt
