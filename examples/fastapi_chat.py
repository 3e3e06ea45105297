"""A chat in the browser: one route that streams, and a small page that reads it.

::

    pip install fastapi uvicorn
    python examples/fastapi_chat.py            # then open http://127.0.0.1:8000
    python examples/fastapi_chat.py smollm2 9000

Closing the page, or pressing Stop, ends the computation on the server within a token.
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

import deltaweir

MODEL = sys.argv[1] if len(sys.argv) > 1 else None
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8000

PAGE = """<!doctype html>
<meta charset="utf-8"><title>Deltaweir</title>
<textarea id="ask" aria-label="Message">Say hello.</textarea>
<button id="send">Send</button> <button id="end">Stop</button>
<p id="answer" aria-live="polite"></p><p id="cost"></p>
<script>
let abort;
end.onclick = () => abort?.abort();
send.onclick = async () => {
  abort = new AbortController();
  answer.textContent = cost.textContent = "";
  try {
    await read(JSON.stringify({ message: ask.value }), abort.signal);
  } catch (error) {
    if (error.name !== "AbortError") cost.textContent = error.message;
  }
};
async function read(body, signal) {
  const headers = { "content-type": "application/json" };
  const reply = await fetch("/chat", { method: "POST", headers, body, signal });
  if (!reply.ok) throw new Error((await reply.json()).error.message);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream broke off");
    const events = (text += value).split("\\n\\n");
    text = events.pop();
    for (const data of events.flatMap((event) => event.match(/^data: .*/gm) ?? [])) {
      if (data === "data: [DONE]") return;
      const chunk = JSON.parse(data.slice(6));
      if (chunk.error) throw new Error(chunk.error.message);
      answer.textContent += chunk.choices[0]?.delta.content ?? "";
      if (chunk.deltaweir) cost.textContent = `${chunk.deltaweir.usage.completion_tokens} tok`;
    }
  }
}
</script>"""

app = FastAPI()
client = deltaweir.AsyncClient()


@app.exception_handler(deltaweir.DeltaweirError)
async def refused(_: Any, error: deltaweir.DeltaweirError) -> JSONResponse:
    """Give what is refused before anybody is asked its status."""
    return JSONResponse({"error": {"message": error.message, "code": error.code}}, error.status)


@app.get("/")
def page() -> HTMLResponse:
    """Show the page."""
    return HTMLResponse(PAGE)


@app.post("/chat")
async def chat(request: dict[str, Any]) -> Any:
    """Stream an answer."""
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": request["message"]}],
        max_tokens=request.get("max_tokens", 400),
        stream=True,
    )
    return deltaweir.sse_response(stream)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
