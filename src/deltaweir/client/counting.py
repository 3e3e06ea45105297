"""Count a text or a prompt before it is sent: as its model's own tokenizer does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deltaweir.adapters.encodings import encoding_of
from deltaweir.adapters.prices import price_of
from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.client.embedded import weights_of
from deltaweir.errors import InvalidRequest
from deltaweir.meter.prices import usd
from deltaweir.meter.prompt import PromptCount
from deltaweir.meter.prompt import count_prompt as count_openai_prompt
from deltaweir.meter.prompt import count_text_prompt as count_openai_text_prompt
from deltaweir.meter.rules import ESTIMATED, Rule
from deltaweir.meter.tokens import Tokenizer, mended
from deltaweir.models.template import count_chat
from deltaweir.models.vocabulary import Vocabulary, vocabulary_of
from deltaweir.models.weights import Weights, is_embedded
from deltaweir.schema.request import (
    ChatRequest,
    TextRequest,
    chat_request,
    check_chat,
    check_text,
    text_request,
)
from deltaweir.sources.local.answer import abilities_of
from deltaweir.sources.local.prompts import message_of, prompts_of
from deltaweir.sources.local.prompts import prompt_of as given_prompt

_SUFFIX = Rule(
    "suffix",
    ESTIMATED,
    "nobody documents how a suffix is put into a prompt; its text is counted",
)
_OWN_TEMPLATE = Rule(
    "chat template",
    "official",
    "the model's own chat template and vocabulary, read from its weights file",
)


def count_tokens(text: str, model: str | None = None, encoding: str | None = None) -> int:
    """Return how many tokens a text has.

    It equals tiktoken's count for every OpenAI model; the text of special tokens counts as
    plain text, and lone surrogates as tiktoken repairs them. A model nobody here knows is
    counted with ``o200k_base``, as is a text without a model. An embedded model's text is
    counted by the vocabulary in its weights file, which is pulled when it is not there.

    Args:
        text: Any text.
        model: A model's name, dated or fine-tuned, or an embedded model's name or GGUF path.
        encoding: A name of tiktoken's, such as ``cl100k_base``; it wins over the model.

    Raises:
        InvalidRequest: The text is none, or no encoding has this name.
        ModelNotFound: No embedded model has this name.
        ModelUnavailable: The embedded model's file cannot be had.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"got a text of type {type(text).__name__}, expected a str")
    _check_name(model, param="model")
    _check_name(encoding, param="encoding")
    tokenizer = tokenizer_of(encoding) if encoding is not None else tokenizer_for(model)
    return tokenizer.count(mended(text))


def tokenizer_for(model: str | None) -> Tokenizer:
    """Return the tokenizer that counts a model's text.

    Raises:
        ModelNotFound: No embedded model has this name.
        ModelUnavailable: The embedded model's file cannot be had.
    """
    if model is not None and is_embedded(model):
        return vocabulary_of(weights_of(model))
    return tokenizer_of(encoding_of(model).name)


def count_prompt(
    messages: Iterable[Any],
    model: str | None = None,
    *,
    tools: Iterable[Mapping[str, Any]] | None = None,
    functions: Iterable[Mapping[str, Any]] | None = None,
    tool_choice: str | Mapping[str, Any] | None = None,
    function_call: str | Mapping[str, Any] | None = None,
    response_format: Mapping[str, Any] | None = None,
) -> PromptCount:
    """Return how many tokens a conversation has as a prompt, and how sure that is.

    Args:
        messages: As for ``chat.completions.create``.
        model: The model that reads them; see `count_tokens`.
        tools: Tools on offer.
        functions: Functions on offer, of the older kind.
        tool_choice: As for ``create``.
        function_call: As for ``create``, of the older kind.
        response_format: As for ``create``.

    Returns:
        ``.tokens``, and ``.source``: official, observed or estimated, whichever is weakest of
        the rules that went in, which are in ``.rules``.

    Raises:
        InvalidRequest: A message or tool is malformed; names the field.
    """
    more = {
        "tools": list(tools) if isinstance(tools, Iterable) else tools,
        "functions": list(functions) if isinstance(functions, Iterable) else functions,
        "tool_choice": tool_choice,
        "function_call": function_call,
        "response_format": response_format,
    }
    given = {name: value for name, value in more.items() if value is not None}
    return prompt_of({"messages": messages, "model": model, **given})


def prompt_of(fields: Mapping[str, Any]) -> PromptCount:
    """Return the count of a request body's prompt, chat or text.

    Raises:
        InvalidRequest: A field is malformed, or there are neither messages nor a prompt.
    """
    model = fields.get("model")
    _check_name(model, param="model")
    embedded = model is not None and is_embedded(model)
    known = encoding_of(model).known or embedded
    if "prompt" in fields and "messages" not in fields:
        text = text_request(fields)
        if model is not None and embedded:
            return _embedded_text(weights_of(model), text)
        return _text(text, tokenizer_for(model), known=known)
    request = chat_request(fields)
    if model is not None and embedded:
        return _embedded_chat(weights_of(model), request)
    return count_openai_prompt(
        request.messages,
        tokenizer=tokenizer_for(model),
        model=model,
        known=known,
        tools=request.tools,
        functions=request.functions,
        tool_choice=request.tool_choice,
        function_call=request.function_call,
        response_format=request.response_format,
    )


def _check_name(name: Any, *, param: str) -> None:
    if name is not None and not isinstance(name, str):
        got = f"got {'an' if param == 'encoding' else 'a'} {param} of type {type(name).__name__}"
        raise InvalidRequest(f"{got}, expected a name", param=param)


def _embedded_chat(weights: Weights, request: ChatRequest) -> PromptCount:
    """Count what the engine is given; refuse what is refused before that."""
    check_chat(request)
    older = [{"type": "function", "function": one} for one in request.functions or ()]
    tokens = count_chat(
        weights,
        [message_of(message) for message in request.messages],
        tools=request.tools or older or None,
    )
    return PromptCount(tokens, "official", (), (_OWN_TEMPLATE,))


def _embedded_text(weights: Weights, request: TextRequest) -> PromptCount:
    check_text(request)
    # what is too long for the context is counted all the same
    abilities = abilities_of(weights)._replace(context=None)
    given = [given_prompt(one, request, abilities) for one in prompts_of(request.prompt)]
    return count_openai_text_prompt(given, tokenizer=_Prompts(vocabulary_of(weights)))


class _Prompts:
    """An embedded model's vocabulary, as its engine reads a prompt."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.name = vocabulary.name
        self.count = vocabulary.count_rendered


def _text(request: TextRequest, tokenizer: Tokenizer, *, known: bool) -> PromptCount:
    """Count an OpenAI text prompt, and what is to come behind the answer."""
    counted = count_openai_text_prompt(request.prompt, tokenizer=tokenizer, known=known)
    if not request.suffix:
        return counted
    return counted._replace(
        tokens=counted.tokens + tokenizer.count(mended(request.suffix)),
        source=ESTIMATED,
        rules=(*counted.rules, _SUFFIX),
    )


def prompt_cost_usd(model: str | None, tokens: int) -> float | None:
    """Return what a prompt costs in US dollars: 0 for an embedded model, None if unknown."""
    if model is None:
        return None
    if is_embedded(model):
        return 0.0
    price = price_of(model)
    return None if price is None else usd(price.prompt_cost(tokens))
