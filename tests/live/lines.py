"""One request to a gateway or a balancer, read as its events come."""

from __future__ import annotations

import http.client
import json
from typing import Any, Self

from tests.live.balancers import Balancer
from tests.live.pairs import WORDS
from tests.live.served import CHAT

from deltaweir.wire.sse import Decoder, Event


class Line:
    """One request on a connection of its own, read as its events come.

    Args:
        address: Host and port of who is asked.
        path: The route.
        body: What is sent; None for a GET.
        **headers: Of the request.
    """

    def __init__(
        self,
        address: tuple[str, int],
        path: str = CHAT,
        body: dict[str, Any] | None = None,
        **headers: str,
    ) -> None:
        self.text = b""
        self._connection = http.client.HTTPConnection(*address, timeout=30)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = None if body is None else json.dumps(body)
        self._connection.request("GET" if body is None else "POST", path, raw, names)
        self._response = self._connection.getresponse()
        self.status = self._response.status

    @property
    def stream(self) -> str:
        """The id of the stream."""
        return self._response.headers["x-deltaweir-stream-id"]

    @property
    def events(self) -> list[Event]:
        """What has come."""
        return Decoder().feed(self.text)

    @property
    def last(self) -> str:
        """The id of the last event that has come."""
        return self.events[-1].id

    @property
    def said(self) -> str:
        """What the model has said."""
        chunks = [json.loads(one.data) for one in self.events if one.data != b"[DONE]"]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
        return "".join(delta.get("content") or "" for delta in deltas)

    def until(self, text: bytes, *, times: int = 1) -> None:
        """Read until something has come so often."""
        while self.text.count(text) < times:
            data = self._response.read1(65536)
            assert data, self.text
            self.text += data

    def rest(self) -> bool:
        """Read to the end; tell whether that was the answer's own."""
        try:
            while data := self._response.read1(65536):
                self.text += data
        except (http.client.IncompleteRead, ConnectionResetError):
            return False
        return True

    def hang_up(self) -> None:
        """Close the connection."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()


def ask(
    front: Balancer, *, prompt: str = "Count.", key: str = "", resume: bool = False, **body: Any
) -> Line:
    """Ask for a completion, a stream unless the body says otherwise."""
    asked = {"model": "m", "messages": [{"role": "user", "content": prompt}], "stream": True}
    ours = {"deltaweir": {"resume": resume}}
    return Line(front.address, body=asked | ours | body, authorization=f"Bearer {key}")


def again(front: Balancer, stream: str, last: str) -> Line:
    """Ask for what comes behind an event."""
    return Line(front.address, f"/v1/streams/{stream}", last_event_id=last)


def whole(front: Balancer, prompt: str = "Count.") -> bool:
    """Ask for a stream, and tell whether all of it came."""
    with ask(front, prompt=prompt) as line:
        assert line.status == http.client.OK, front.log
        return line.rest() and line.said == "".join(WORDS)
