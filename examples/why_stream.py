"""Why stream? The same prompt without and with ``stream=True``, on a stopwatch.

::

    python examples/why_stream.py
    python examples/why_stream.py --model smollm2 --max-tokens 64

Both calls write the same text in the same time. What differs is how long you look at
nothing before you can read its first word.
"""

import argparse
import time
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

import deltaweir

PROMPT = "def hello():"
WIDTH = 26

parser = argparse.ArgumentParser(description="The same prompt without and with stream=True.")
parser.add_argument("--model", help="an embedded model or a GGUF file; the default unless told")
parser.add_argument("--max-tokens", type=int, default=512, help="how much is written at most")
arguments = parser.parse_args()

client = deltaweir.Client()
console = Console(highlight=False)


class Seconds(NamedTuple):
    """When the first text could be read, and when the last."""

    first: float
    whole: float


def without_stream() -> tuple[Seconds, deltaweir.types.TextReply]:
    """Wait for the whole text."""
    began = time.perf_counter()
    reply = client.completions.create(
        model=arguments.model, prompt=PROMPT, max_tokens=arguments.max_tokens, temperature=0
    )
    whole = time.perf_counter() - began
    return Seconds(whole, whole), reply


def with_stream() -> tuple[Seconds, deltaweir.types.TextReply]:
    """Read the text while it is written."""
    began = time.perf_counter()
    first = None
    with client.completions.create(
        model=arguments.model,
        prompt=PROMPT,
        max_tokens=arguments.max_tokens,
        temperature=0,
        stream=True,
    ) as stream:
        for chunk in stream:
            if first is None and chunk.choices[0].text:
                first = time.perf_counter() - began
            status.update(Text("stream=True: " + stream.text[-40:].replace("\n", " ")))
    whole = time.perf_counter() - began
    return Seconds(first or whole, whole), stream.reply()


def bar(seconds: Seconds, longest: float) -> str:
    """Draw the time with nothing to read, then the time with something to read."""
    waiting, reading = "░█" if console.encoding.startswith("utf") else ".#"
    empty = min(round(WIDTH * seconds.first / longest), WIDTH - 1)
    full = max(1, round(WIDTH * seconds.whole / longest) - empty)
    rest = " " * (WIDTH - empty - full)
    return f"[yellow]{waiting * empty}[/][green]{reading * full}[/]{rest}"


with console.status("loading the model") as status:
    client.completions.create(model=arguments.model, prompt=PROMPT, max_tokens=1)
    status.update("stream=False: waiting for the whole text")
    waited, reply = without_stream()
    status.update("stream=True:")
    streamed, reply = with_stream()

tokens = reply.usage.completion_tokens if reply.usage else 0
longest = max(waited.whole, streamed.whole)
console.print(f"{PROMPT}  {tokens} tokens from {reply.model}\n")
console.print(f"{'first text':>50}{'whole':>9}")
for name, seconds in (("stream=False", waited), ("stream=True", streamed)):
    figures = f"{seconds.first:>9.2f} s{seconds.whole:>7.2f} s"
    console.print(f"{name:13}{bar(seconds, longest)}{figures}")
console.print(f"\nThe first text came {waited.first / streamed.first:.0f} times sooner.")
