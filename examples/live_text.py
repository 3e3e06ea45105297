"""Act on each sentence as soon as it is whole, while the rest is still being written.

A voice assistant speaks like this: it begins with the first sentence, not with the last.

::

    python examples/live_text.py
    python examples/live_text.py --model smollm2
"""

import argparse
from collections.abc import Iterator

import deltaweir

QUESTION = "Why do we have seasons? Explain it in a few sentences."

parser = argparse.ArgumentParser(description="Act on each sentence as soon as it is whole.")
parser.add_argument("--model", help="an embedded model or a GGUF file; the default unless told")
arguments = parser.parse_args()


def sentences(chunks: Iterator[deltaweir.types.Chunk]) -> Iterator[str]:
    """Yield each sentence once its full stop and the blank behind it have arrived."""
    text = ""
    for chunk in chunks:
        text += chunk.choices[0].delta.content or ""
        while ". " in text:
            sentence, text = text.split(". ", 1)
            yield sentence + "."
    if text:
        yield text


print(QUESTION)
with deltaweir.Client().chat.completions.create(
    model=arguments.model,
    messages=[{"role": "user", "content": QUESTION}],
    max_tokens=200,
    temperature=0,
    stream=True,
) as stream:
    for sentence in sentences(stream):
        print(f"{stream.timing.total:6.2f} s  {sentence}", flush=True)  # or speak it, or send it

print(f"{stream.timing.total:6.2f} s  that was the whole answer")
