"""Watch streams of openai 0.28.1, and say as JSON what came.

Run by the Python that has deltaweir; the package is found in the folder that is named last.
"""

import asyncio
import json
import sys
from typing import Any

base_url, folder = sys.argv[1], sys.argv[2]
sys.path.append(folder)

import openai  # noqa: E402  # it is in the folder

from deltaweir.client.watch import watch  # noqa: E402

openai.api_base = base_url
openai.api_key = "unused"
messages = [{"role": "user", "content": "Say hello."}]
asked: Any = {"model": "gpt-4o", "messages": messages, "stream": True}
said: dict[str, Any] = {}


def left() -> bool:
    """Ask the server whether the connection of the last request is gone."""
    print("left?", flush=True)
    return sys.stdin.readline() == "yes\n"


def told(stream: Any, objects: list[Any]) -> list[Any]:
    """Return what a stream says of itself, and of what class its objects were."""
    usage = stream.usage and [stream.usage.prompt_tokens, stream.usage.completion_tokens]
    classes = sorted({type(one).__name__ for one in objects})
    return [stream.text, usage, stream.cost, stream.stopped_by, stream.complete, classes]


with watch(openai.ChatCompletion.create(**asked)) as watched:
    chunks = list(watched)
said["sync"] = told(watched, chunks)

cut = watch(openai.ChatCompletion.create(**asked), budget="2tok", model="gpt-4o", prompt="Hi")
chunks = list(cut)
said["cut"] = [*told(cut, chunks), left()]
said["cut end"] = [chunks[-1].choices[0].finish_reason, chunks[-1]["choices"][0]["delta"]]

texts = watch(
    openai.Completion.create(model="davinci-002", prompt="One", stream=True), budget="2tok"
)
chunks = list(texts)
said["texts"] = [*told(texts, chunks), left()]
said["texts end"] = [chunks[-1].choices[0].finish_reason, chunks[-1].choices[0].text]


async def awaited() -> None:
    """Watch the asynchronous call: a coroutine, and a cut."""
    whole = watch(openai.ChatCompletion.acreate(**asked))
    said["async"] = told(whole, [chunk async for chunk in whole])
    shorter = watch(openai.ChatCompletion.acreate(**asked), budget="2tok")
    said["async cut"] = [
        *told(shorter, [chunk async for chunk in shorter]),
        await asyncio.to_thread(left),
    ]


asyncio.run(awaited())
print(json.dumps(said))
