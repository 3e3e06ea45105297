"""One text counted both ways: by Deltaweir and by tiktoken, whole and while it arrives.

::

    python examples/count_with_tiktoken.py
    python examples/count_with_tiktoken.py --model smollm2

``pip install tiktoken`` gives the second opinion. Its vocabularies are not in its package: it
downloads them once and keeps them in ``TIKTOKEN_CACHE_DIR``. Deltaweir's are in a wheel.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import deltaweir

TEXT = "A weir is a low dam: it measures a stream, and it's there to control it. 堰は低いダムです。"
NAME = "gpt-4o"

parser = argparse.ArgumentParser(description="One text counted by Deltaweir and by tiktoken.")
parser.add_argument("--model", help="an embedded model or a GGUF file; the default unless told")
arguments = parser.parse_args()

theirs: Any = None
why = ""
try:
    import tiktoken

    theirs = tiktoken.encoding_for_model(NAME)
except ImportError:
    why = ": it is not installed"
except OSError:  # what its download raises
    why = ": it could not download its vocabulary, for which it needs the network once"


def by_tiktoken(text: str) -> int | None:
    """Return tiktoken's count, None where it cannot be had."""
    return len(theirs.encode(text, disallowed_special=())) if theirs else None


def arriving(text: str) -> Iterator[dict[str, Any]]:
    """Yield a text as a provider would, three characters at a time."""
    for start in range(0, len(text), 3):
        yield {"choices": [{"index": 0, "delta": {"content": text[start : start + 3]}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


print(f"Whole:    {deltaweir.count_tokens(TEXT, model=NAME)} by deltaweir.count_tokens")
print(f"          {by_tiktoken(TEXT) or '?'} by tiktoken{why}")

print("Arriving: the running count, right at every prefix")
with deltaweir.watch(arriving(TEXT), model=NAME) as stream:
    for _part in stream:
        running = stream.usage.completion_tokens if stream.usage else 0
        again = by_tiktoken(stream.text)
        differs = again is not None and again != running
        print(f"{running:>12}  {stream.text[-40:]}{'  they differ' if differs else ''}")

print("A reply:  the running count of a budget of 24 tokens")
with deltaweir.Client().chat.completions.create(
    model=arguments.model,
    messages=[{"role": "user", "content": "What is a weir?"}],
    temperature=0,
    budget="24tok",
    stream=True,
) as reply:
    for _ in reply:
        running = reply.usage.completion_tokens if reply.usage else 0
        print(f"{running:>12}  {reply.text[-40:]!r}")
print(f"{reply.account().source} says {running} tokens; stopped by the {reply.stopped_by}")
