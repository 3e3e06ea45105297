"""Stream many answers with an openai package, old or new, and write all that came as JSON.

The requests stand on stdin, as a list; for each answer a line is written. With the folder of a
package behind the address, this is run by the Python that has deltaweir, which watches each
stream with the standard guard; the first with none.
"""

import json
import sys
from typing import Any

base_url, *folders = sys.argv[1:]
sys.path.extend(folders)

import openai  # noqa: E402  # it may be in the folder

if hasattr(openai, "ChatCompletion") and not hasattr(openai, "OpenAI"):
    openai.api_base, openai.api_key = base_url, "unused"
    create: Any = openai.ChatCompletion.create
else:
    create = openai.OpenAI(
        base_url=base_url, api_key="unused", max_retries=0
    ).chat.completions.create

for number, request in enumerate(json.load(sys.stdin)):
    chunks: list[Any] = []
    said = None
    try:
        stream: Any = create(stream=True, **request)
        if folders:
            from deltaweir import watch

            stream = watch(stream, guard="standard" if number else None)
        for chunk in stream:
            dump = getattr(chunk, "model_dump", None)
            chunks.append(dump(exclude_unset=True) if dump else chunk)
    except Exception as error:  # noqa: BLE001  # whichever it is, the test looks at what it says
        said = [type(error).__name__, str(error), repr(getattr(error, "body", None))]
    print(json.dumps({"chunks": chunks, "error": said}))
