"""The current openai package against a server of recordings: streams, replies and faults."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai

base_url, model = sys.argv[1:3]
client = openai.OpenAI(base_url=base_url, api_key="any", max_retries=0)
fields: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
said: dict[str, Any] = {}


def text(stream: Any) -> str:
    """Return what a stream says."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


said["text"] = text(client.chat.completions.create(**fields, stream=True))
said["whole"] = client.chat.completions.create(**fields).choices[0].message.content
chunks = client.chat.completions.create(
    **fields, stream=True, stream_options={"include_usage": True}
)
said["usage"] = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
for name, call in {
    "unknown": lambda: client.chat.completions.create(**fields, temperature=1),
    "cut": lambda: text(client.chat.completions.create(**fields, stream=True)),
    "failed": lambda: text(client.chat.completions.create(**fields, stream=True)),
    "refused": lambda: client.chat.completions.create(**fields),
}.items():
    try:
        call()
    except Exception as error:  # noqa: BLE001  # which it is, is what the test asks
        said[name] = type(error).__name__
print(json.dumps(said))
