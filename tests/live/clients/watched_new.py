"""Watch streams of today's openai package, and say as JSON what came.

Run by the Python that has deltaweir; the package is found in the folder that is named last.
"""

import asyncio
import json
import sys
import threading
import time
from typing import Any

base_url, folder = sys.argv[1], sys.argv[2]
sys.path.append(folder)

import openai  # noqa: E402  # it is in the folder
from openai.types import Completion  # noqa: E402
from openai.types.chat import ChatCompletionChunk  # noqa: E402

import deltaweir  # noqa: E402
from deltaweir.client.watch import watch  # noqa: E402

client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
messages: Any = [{"role": "user", "content": "Say hello."}]
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


with watch(client.chat.completions.create(**asked)) as watched:
    chunks = list(watched)
said["sync"] = told(watched, chunks)
said["attributes"] = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]

cut = watch(client.chat.completions.create(**asked), budget="2tok", model="gpt-4o", prompt="Hi")
chunks = list(cut)
said["cut"] = [*told(cut, chunks), left()]
said["cut class"] = all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
said["cut end"] = [chunks[-1].choices[0].finish_reason, chunks[-1].choices[0].delta.content]

texts = watch(
    client.completions.create(model="davinci-002", prompt="One", stream=True), budget="2tok"
)
chunks = list(texts)
said["texts"] = [*told(texts, chunks), left()]
said["texts class"] = all(isinstance(chunk, Completion) for chunk in chunks)
said["texts end"] = [chunks[-1].choices[0].finish_reason, chunks[-1].choices[0].text]

broken = watch(client.chat.completions.create(**asked))
try:
    list(broken)
except openai.APIError as error:
    said["error"] = [type(error).__name__, broken.text]

early = watch(client.chat.completions.create(**asked))
try:
    list(early)
except deltaweir.StreamTruncated:
    said["truncated"] = early.text

try:
    watch(client.chat.completions.create(model="gpt-4o", messages=messages))  # type: ignore[call-overload]
except deltaweir.InvalidRequest as error:
    said["whole"] = error.message

waiting = watch(client.chat.completions.create(**asked))
got = [next(waiting)]
reader = threading.Thread(target=lambda: got.extend(waiting))
reader.start()
while len(got) < 3 or not waiting._source._pulling:
    time.sleep(0.01)
waiting.close()
reader.join(20)
said["thread"] = [len(got), waiting.stopped_by, reader.is_alive(), left()]


async def awaited() -> None:
    """Watch with the asynchronous client: a coroutine, a cut, a close from another task."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="unused") as asynchronous:
        whole = watch(asynchronous.chat.completions.create(**asked))
        said["async"] = told(whole, [chunk async for chunk in whole])
        shorter = watch(asynchronous.chat.completions.create(**asked), budget="2tok")
        said["async cut"] = [
            *told(shorter, [chunk async for chunk in shorter]),
            await asyncio.to_thread(left),
        ]
        silent = watch(await asynchronous.chat.completions.create(**asked))
        task = asyncio.create_task(anext(silent))
        await task
        task = asyncio.create_task(anext(silent))
        await asyncio.sleep(0)
        await silent.close()
        said["async close"] = [type(await ended(task)).__name__, left()]
        unused = watch(asynchronous.chat.completions.create(**asked))
        await unused.close()
        said["tasks"] = len(asyncio.all_tasks())


async def ended(task: "asyncio.Task[Any]") -> "BaseException | None":
    """Return how a task has ended."""
    await asyncio.wait([task])
    return task.exception()


asyncio.run(awaited())
print(json.dumps(said))
