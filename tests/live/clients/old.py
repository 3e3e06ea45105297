"""Stream from a server with openai 0.28.1, and say as JSON what came."""

import asyncio
import inspect
import json
import sys
from typing import Any

import openai

openai.api_base = sys.argv[1]
openai.api_key = "unused"
model = sys.argv[2]
messages = [{"role": "user", "content": "Say hello."}]
said: dict[str, Any] = {}

stream = openai.ChatCompletion.create(
    model=model, messages=messages, temperature=0, max_tokens=5, stream=True
)
said["generator"] = inspect.isgenerator(stream)
chunks = list(stream)
said["first"] = chunks[0]["choices"][0]["delta"]["role"]
said["text"] = "".join(chunk.choices[0].delta.get("content", "") for chunk in chunks)
said["finish"] = chunks[-1].choices[0].finish_reason
said["account"] = chunks[-1].get("deltaweir", {}).get("usage", {}).get("completion_tokens")

texts = openai.Completion.create(
    model=model, prompt="One, two,", temperature=0, max_tokens=5, stream=True
)
said["completion"] = "".join(chunk.choices[0].text for chunk in texts)
whole = openai.ChatCompletion.create(model=model, messages=messages, temperature=0, max_tokens=5)
said["whole"] = whole.choices[0].message.content
said["models"] = [one.id for one in openai.Model.list().data]
try:
    openai.ChatCompletion.create(model="nonsense", messages=messages)
except openai.error.InvalidRequestError as error:
    said["unknown model"] = error.code
try:
    openai.ChatCompletion.create(model=model, messages=[])
except openai.error.InvalidRequestError as error:
    said["no messages"] = error.param


async def awaited() -> str:
    """Stream with the old client's asynchronous call."""
    found = await openai.ChatCompletion.acreate(
        model=model, messages=messages, temperature=0, max_tokens=5, stream=True
    )
    return "".join([chunk.choices[0].delta.get("content", "") async for chunk in found])


said["async"] = asyncio.run(awaited())
print(json.dumps(said))
