"""What one message of a prompt costs: its frame, its text and whatever else it holds.

The rules and their sources stand here together; ``deltaweir.meter.prompt`` says what their labels
mean. What only the API can read (a file, the length of a compressed recording, an image behind a
URL) is assumed, and the rule says what.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deltaweir.errors import InvalidRequest
from deltaweir.meter.functions import mapping, text_of
from deltaweir.meter.images import count_image
from deltaweir.meter.rules import ESTIMATED, OBSERVED, OFFICIAL, Rule, base_name
from deltaweir.meter.tokens import Tokenizer, mended

_COOKBOOK = "OpenAI cookbook, How to count tokens with tiktoken"
_HMARR = "https://github.com/hmarr/openai-chat-tokens, src/index.ts"
_MESSAGE = Rule("message", OFFICIAL, f"{_COOKBOOK}, section 6")
_MESSAGE_0301 = Rule("message_0301", OFFICIAL, f"{_COOKBOOK}, section 6, edition of 2023")
_OTHER_MODEL = Rule(
    "message_other_model",
    ESTIMATED,
    f"{_COOKBOOK} does not name this model; it is counted like gpt-4o",
)
UNKNOWN_MODEL = Rule("unknown_model", ESTIMATED, "the model is not known; o200k_base is assumed")
_PARTS = Rule(
    "parts", OBSERVED, "BerriAI/litellm pull request 4716: the texts of parts count one by one"
)
_FUNCTION_CALL = Rule("function_call", OBSERVED, _HMARR)
_FUNCTION_ROLE = Rule("function_role", OBSERVED, _HMARR)
_TOOL_CALL = Rule(
    "tool_call", OBSERVED, "forestwanglin/openai-java issue 5: one call counts like function_call"
)
_TOOL_CALLS = Rule(
    "tool_calls", ESTIMATED, "nobody documents several calls; each is counted like one alone"
)
_TOOL_ROLE = Rule(
    "tool_role", OBSERVED, "forestwanglin/openai-java issue 5: with a name, like role function"
)
_TOOL_UNNAMED = Rule(
    "tool_unnamed",
    ESTIMATED,
    "nobody documents a result without a name; the id is assumed to count nothing",
)
_REFUSAL = Rule("refusal", ESTIMATED, "nobody documents it; it is counted like content")
_OTHER = Rule("other_fields", ESTIMATED, "fields that nobody documents are counted as nothing")
_AUDIO = Rule(
    "audio",
    ESTIMATED,
    "ten tokens a second, as OpenAI's guide to realtime costs has it; the length is taken from "
    "the data's size, at 128 kbit/s for MP3 and 24 kHz of 16 bits for the rest",
)
_FILE = Rule("file", ESTIMATED, "what is in a file is not known; it is counted as nothing")
_OTHER_PART = Rule("other_part", ESTIMATED, "the part's type is not known; it counts nothing")
_IN_COOKBOOK = re.compile(r"(chat)?gpt-4o|gpt-4(-|$)|gpt-3\.?5-turbo")
_COUNTED_FIELDS = frozenset(
    {"role", "content", "name", "tool_calls", "function_call", "refusal", "tool_call_id"}
)
_BYTES_A_SECOND = {"mp3": 16_000}
_PCM_BYTES_A_SECOND = 48_000
_AUDIO_TOKENS_A_SECOND = 10


class Tally:
    """Counts the pieces of one prompt and notes the rules; not to be used for a second one."""

    def __init__(self, tokenizer: Tokenizer, *, model: str | None, known: bool) -> None:
        self.tokenizer = tokenizer
        self._model = model
        self.rules: dict[Rule, None] = {}  # a set that keeps the order
        name = base_name(model)
        old = name == "gpt-3.5-turbo-0301"
        # its format put a line end behind each message, and wrote a name in place of the role
        self._per_message, self._per_name = (4, -1) if old else (3, 1)
        official = _MESSAGE_0301 if old else _MESSAGE
        self.note(official if _IN_COOKBOOK.match(name) else _OTHER_MODEL)
        if not known:
            self.note(UNKNOWN_MODEL)

    def note(self, *rules: Rule) -> None:
        """Remember rules that went into the count."""
        self.rules.update(dict.fromkeys(rules))

    def text(self, text: Any, *, field: str) -> int:
        """Return the tokens of a text.

        Raises:
            InvalidRequest: It is not one.
        """
        return self.tokenizer.count(mended(text_of(text, field=field)))

    def message(self, message: Mapping[str, Any], *, field: str) -> int:
        """Return the tokens of one message."""
        role = text_of(message.get("role"), field=f"{field}.role")
        tokens = self._per_message + self.text(role, field=f"{field}.role")
        tokens += self._content(message.get("content"), field=f"{field}.content")
        name = message.get("name")
        if name is not None:
            tokens += self.text(name, field=f"{field}.name") + self._per_name
        if role in ("function", "tool"):
            tokens += self._result(role, name)
        if message.get("function_call") is not None:
            self.note(_FUNCTION_CALL)
            tokens += self._call(message["function_call"], field=f"{field}.function_call")
        tokens += self._calls(message.get("tool_calls"), field=f"{field}.tool_calls")
        if message.get("refusal") is not None:
            self.note(_REFUSAL)
            tokens += self.text(message["refusal"], field=f"{field}.refusal")
        if any(key not in _COUNTED_FIELDS and value for key, value in message.items()):
            self.note(_OTHER)
        return tokens

    def _result(self, role: str, name: Any) -> int:
        if role == "tool" and name is None:
            self.note(_TOOL_UNNAMED)
            return 0
        self.note(_FUNCTION_ROLE if role == "function" else _TOOL_ROLE)
        return -2

    def _calls(self, calls: Any, *, field: str) -> int:
        found = listed(calls, field=field)
        if found:
            self.note(_TOOL_CALL if len(found) == 1 else _TOOL_CALLS)
        tokens = 0
        for at, item in enumerate(found):
            call = mapping(item, field=f"{field}[{at}]")
            kind = "custom" if call.get("type") == "custom" else "function"
            if kind == "custom":
                self.note(_TOOL_CALLS)
            tokens += self._call(call.get(kind), field=f"{field}[{at}].{kind}")
        return tokens

    def _call(self, call: Any, *, field: str) -> int:
        call = mapping(call, field=field)
        arguments = call.get("arguments", call.get("input"))
        tokens = 3 + self.text(call.get("name"), field=f"{field}.name")
        return tokens + self.text(arguments or "", field=f"{field}.arguments")

    def _content(self, content: Any, *, field: str) -> int:
        if content is None:
            return 0
        if isinstance(content, str):
            return self.text(content, field=field)
        parts = listed(content, field=field)
        if parts:
            self.note(_PARTS)
        return sum(self._part(part, field=f"{field}[{at}]") for at, part in enumerate(parts))

    def _part(self, part: Any, *, field: str) -> int:
        part = mapping(part, field=field)
        kind = text_of(part.get("type"), field=f"{field}.type")
        if kind == "text":
            return self.text(part.get("text"), field=f"{field}.text")
        if kind == "refusal":
            self.note(_REFUSAL)
            return self.text(part.get("refusal"), field=f"{field}.refusal")
        if kind == "image_url":
            image = count_image(
                part.get("image_url"), field=f"{field}.image_url", model=self._model
            )
            self.note(*image.rules)
            return image.tokens
        if kind == "input_audio":
            self.note(_AUDIO)
            return _audio_tokens(part.get("input_audio"), field=f"{field}.input_audio")
        self.note(_FILE if kind == "file" else _OTHER_PART)
        return 0


def _audio_tokens(audio: Any, *, field: str) -> int:
    audio = mapping(audio, field=field)
    size = len(text_of(audio.get("data"), field=f"{field}.data")) * 3 // 4
    kind = text_of(audio.get("format", ""), field=f"{field}.format")
    rate = _BYTES_A_SECOND.get(kind, _PCM_BYTES_A_SECOND)
    return -(-size * _AUDIO_TOKENS_A_SECOND // rate)


def listed(value: Any, *, field: str) -> Sequence[Any]:
    """Return a value that must be a list; none at all is an empty one.

    Raises:
        InvalidRequest: It is not one.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidRequest(
            f"{field} is of type {type(value).__name__}, expected a list", param=field
        )
    return value
