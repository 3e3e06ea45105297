"""A server on loopback that answers from recordings: made once against a real one, then played.

Any client can be pointed at it, ours or another package's. A request is answered by the
recording of the same request, whatever key it came with. Where there is none, it is asked of
the real server and recorded, if that is allowed, and refused otherwise.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from deltaweir.adapters.recording_files import SUFFIX, RecordedFile
from deltaweir.client.answers import parsed
from deltaweir.client.blocking import Client
from deltaweir.client.destination import Settings, provider_for
from deltaweir.client.requests import request_of
from deltaweir.errors import DeltaweirError, InvalidRequest, NotFoundError
from deltaweir.recorded_request import request_digest
from deltaweir.recording import REPLAY
from deltaweir.testing.faults import (
    Answer,
    Drop,
    Pause,
    Request,
    Step,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.peer import Peer

Mode = Literal["none", "once", "all"]
"""What is recorded: nothing, what has no recording yet, or everything anew."""
MODE_VARIABLE = "DELTAWEIR_RECORD"
_ROUTES = {"/v1/chat/completions": "chat", "/v1/completions": "text"}

Fault = Callable[[list[Step]], Answer]
"""Makes an answer out of a stream's events."""


class Recordings(Peer):
    """Serve recorded streams to any client, by the requests that they answer.

    As for any peer, the address is ``base_url``::

        with Recordings(Path("recordings"), "greeting") as recordings:
            openai.OpenAI(base_url=recordings.base_url, api_key="any")...

    Streams come at once, without the pauses that they had. A request that comes again gets the
    next recording of it, and the last one from then on.

    Args:
        folder: Where the recordings lie; each is a file ``NAME-1.jsonl``, ``NAME-2.jsonl``.
        name: What the files of these recordings begin with.
        mode: What is recorded; the environment's DELTAWEIR_RECORD unless told, else nothing.
        client: Asks the real server; one for the provider that the environment names now
            unless told, or for the embedded model.

    Raises:
        InvalidRequest: The mode is none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        name: str,
        *,
        mode: Mode | None = None,
        client: Client | None = None,
    ) -> None:
        said: Any = mode or os.environ.get(MODE_VARIABLE) or "none"
        if said not in get_args(Mode):
            raise InvalidRequest(
                f"got {said[:20]!r} for {MODE_VARIABLE}, expected one of none, once and all"
            )
        super().__init__(())
        self._folder = Path(folder)
        self._name = name
        self._mode: Mode = said
        self._client = client or _client_now()
        self._answering = threading.Lock()
        self._faults: list[Fault | Answer] = []
        self._used: dict[tuple[str, str], int] = {}
        self._anew = said == "all"

    # faults on demand: each is for one answer, in the order in which they were asked for

    def pass_on(self) -> None:
        """Let the next answer be as it is, before one that has a fault."""
        self._faults.append(stream_answer)

    def cut_after(self, events: int) -> None:
        """Let the connection of the next answer be closed after so many events."""
        self._faults.append(
            lambda given: [*stream_answer(given[:events], end=False), Drop()],
        )

    def stall_after(self, events: int) -> Pause:
        """Let nothing more come of the next answer after so many events, until released."""
        pause = Pause()
        self._faults.append(
            lambda given: stream_answer([*given[:events], pause, *given[events:]]),
        )
        return pause

    def fail_after(
        self, events: int, *, message: str = "the model failed", code: str = "server_error"
    ) -> None:
        """Let the next answer break off with an error event after so many events."""
        last = error_event(message, code=code)
        self._faults.append(lambda given: stream_answer([*given[:events], last]))

    def refuse(self, status: int, *, message: str = "no", code: str | None = None) -> None:
        """Let the next request be refused with a status; it is not looked at."""
        # 0: nobody has to wait before he asks again
        self._faults.append(error_answer(status, message, code=code, headers={"retry-after": "0"}))

    def answer_to(self, request: Request) -> Answer:
        """Return what a request is answered with."""
        with self._answering:
            fault = self._faults.pop(0) if self._faults else None
            if fault is not None and not callable(fault):
                return fault
            try:
                return self._answer(request, fault)
            except DeltaweirError as error:
                return error_answer(error.status, error.message, code=error.code, param=error.param)

    def _answer(self, request: Request, fault: Fault | None) -> Answer:
        kind = _ROUTES.get(request.target.partition("?")[0])
        if kind is None or request.method != "POST":
            raise NotFoundError(f"there is no recording of {request.method} {request.target}")
        fields: Any = parsed(request.body)
        if not isinstance(fields, dict):
            raise InvalidRequest("got a body that is no JSON object")
        typed = request_of({**fields, "stream": True}, chat=kind == "chat")
        digest = request_digest(typed.model_dump())
        path = self._found(kind, digest)
        if path is None:
            path = self._record(kind, fields)
        return self._play(path, kind, fields, fault)

    def _found(self, kind: str, digest: str) -> Path | None:
        """Return the recording that a request gets now."""
        same = [path for path in self._files() if _answers(path, kind, digest)]
        turn = self._used[kind, digest] = self._used.get((kind, digest), 0) + 1
        if not same or (self._mode != "none" and turn > len(same)):
            return None
        return same[min(turn, len(same)) - 1]

    def _files(self) -> list[Path]:
        """Return the files of these recordings, and of no others, in their order."""
        numbered = self._numbered()
        if self._anew:  # once
            self._anew = False
            for path in numbered.values():
                path.unlink()
            return []
        return [numbered[number] for number in sorted(numbered)]

    def _numbered(self) -> dict[int, Path]:
        own = re.compile(re.escape(self._name) + r"-([0-9]+)" + re.escape(SUFFIX))
        try:
            found = [(own.fullmatch(path.name), path) for path in self._folder.iterdir()]
        except FileNotFoundError:
            return {}
        return {int(match[1]): path for match, path in found if match is not None}

    def _record(self, kind: str, fields: dict[str, Any]) -> Path:
        if self._mode == "none":
            raise NotFoundError(
                f"there is no recording of this request in {self._folder / self._name}-*{SUFFIX}; "
                f"to make it, run the test with {MODE_VARIABLE}=once and with a provider in "
                "DELTAWEIR_BASE_URL or OPENAI_API_KEY; where the request has changed, with "
                f"{MODE_VARIABLE}=all",
                code="recording_missing",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        number = max(self._numbered(), default=0) + 1
        path = self._folder / f"{self._name}-{number}{SUFFIX}"
        asked = {**fields, "stream": True, "stream_options": {"include_usage": True}}
        # the file is made here; where this fails there is none, or it is somebody else's
        stream = _create(self._client, kind, asked, record={"file": path, "request": "full"})
        try:
            with stream:
                for _ in stream:
                    pass
        except BaseException:
            path.unlink(missing_ok=True)  # what failed by chance shall not fail ever after
            raise
        return path

    def _play(self, path: Path, kind: str, fields: dict[str, Any], fault: Fault | None) -> Answer:
        with Client(replay_speed="max") as client:
            asked = {**fields, "model": f"{REPLAY}{path}"}
            stream = _create(client, kind, asked) if fields.get("stream") else None
            if stream is None:
                if fault not in (None, stream_answer):
                    raise InvalidRequest(
                        "got a whole reply to break, expected a request with stream=True: its "
                        "faults come after so many events",
                        param="stream",
                    )
                whole = _create(client, kind, {**asked, "stream": False})
                return json_answer(whole.model_dump())
            frames = stream.sse(annotate=False)
            events: list[Step] = list(frames)
        return stream_answer(events) if fault is None else fault(events)


def _answers(path: Path, kind: str, digest: str) -> bool:
    header = RecordedFile(str(path)).header
    return header.kind == kind and request_digest(header.request or {}) == digest


def _create(client: Client, kind: str, fields: dict[str, Any], **more: Any) -> Any:
    create: Any = client.chat.completions.create if kind == "chat" else client.completions.create
    return create(**fields, **more)


def _client_now() -> Client:
    """Return a client for the provider that the environment names now."""
    provider = provider_for(Settings(), os.environ, embedded=False)
    if provider is None:
        return Client()
    ours = os.environ.get("DELTAWEIR_BASE_URL")
    key = os.environ.get("DELTAWEIR_API_KEY" if ours else "OPENAI_API_KEY")
    return Client(base_url=provider.base_url, api_key=key)
