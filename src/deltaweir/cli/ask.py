"""Ask the model and show the answer while it arrives."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, NamedTuple

from deltaweir.cli.answers import Answer, LiveAnswer, PlainAnswer
from deltaweir.cli.opening import Opening
from deltaweir.cli.possible import is_here
from deltaweir.cli.process import COMPLETE, CUT, ERROR, INTERRUPTED, fail
from deltaweir.cli.pulling import pulling
from deltaweir.cli.reconnected import Reconnections, is_refused
from deltaweir.cli.show import PATIENCE_S, Waiting, has_colours, say, say_faint, statistics
from deltaweir.client.blocking import Client
from deltaweir.client.destination import Settings, provider_for
from deltaweir.client.embedded import weights_of, without_provider
from deltaweir.client.playback import is_replay
from deltaweir.client.streams import Stream
from deltaweir.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DeltaweirError,
    EngineMissing,
    ModelNotFound,
)
from deltaweir.models.catalogue import default_entry, find
from deltaweir.models.weights import is_embedded


def announce(model: str | None, *, read_by: str = "") -> str:
    """Say where prompts go, make sure that the model is there, and return its name.

    Args:
        model: The model; None for the default one.
        read_by: Who is sent what it answers, such as the host of a classifier.

    Raises:
        ModelNotFound: No model has this name.
        EngineMissing: There is nothing here that could run it.
        ModelUnavailable: Its weights cannot be had.
    """
    name = model or default_entry().name
    if not is_embedded(name):
        find(name)
    if importlib.util.find_spec("xllamacpp") is None:  # better known before a long download
        raise EngineMissing(
            "the engine of the embedded model is not installed: "
            "pip install 'deltaweir[local]' (Linux x86_64, macOS arm64, Windows)"
        )
    leaves = f"answers are read by {read_by}" if read_by else "nothing leaves this machine"
    say(f"embedded {name}, {leaves}")
    with pulling() as progress:
        weights_of(name, progress=progress)
    return name


class Way(NamedTuple):
    """Where prompts go: the client that takes them there, and the model that answers."""

    client: Client
    model: str | None
    remote: bool


def _own_key(base_url: str) -> str | None:
    """Return the key that the environment has for a server; none that belongs to another."""
    if os.environ.get("DELTAWEIR_BASE_URL") not in (None, "", base_url):
        return None
    return os.environ.get("DELTAWEIR_API_KEY") or None


def way_to(model: str | None, *, base_url: str | None, api_key: str | None) -> Way:
    """Say where prompts go, and return the way there.

    Raises:
        DeltaweirError: There is no such place, or the embedded model cannot be had.
    """
    if base_url and api_key is None:
        api_key = _own_key(base_url)
    settings = Settings(base_url=base_url, api_key=api_key)
    if is_replay(model, settings):
        say("a recording; nothing is asked, and nothing leaves this machine")
        return Way(Client(), model, remote=False)
    embedded = model is not None and is_embedded(model)
    provider = provider_for(settings, os.environ, embedded=embedded)
    client = Client(base_url=base_url, api_key=api_key, resume=True)
    if provider is None:
        try:
            return Way(client, announce(model), remote=False)
        except ModelNotFound as error:
            raise without_provider(error, option="--base-url") from None
    where = "a server on this machine" if is_here(provider.origin.host) else "over the network"
    say(f"{provider.origin.authority}, {where}{f', {model}' if model else ''}")
    return Way(client, model, remote=True)


class Answered(NamedTuple):
    """How an answer went: an exit code, what came, what went wrong, and the stream it came by."""

    code: int
    message: Any = None
    error: DeltaweirError | None = None
    stream: Stream[Any, Any] | None = None


def _is_unheard(error: DeltaweirError) -> bool:
    """Say whether nobody began to answer, so that nothing was used.

    Where a clock ran out, somebody may have begun.
    """
    refused = isinstance(error, APIStatusError)
    unreached = isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError)
    return error.partial is None and (refused or unreached)


class Asking:
    """Ask with the same fields, once or again and again.

    Args:
        way: Where prompts go.
        fields: The request; a ``prompt`` in it makes it a text completion.
        as_json: Whether chunks are shown as they are, instead of their text.
        stats: Whether to say after an answer what it took.
        markdown: Whether an answer is shown as live Markdown; stdout must be a terminal.
    """

    markdown = False
    """Whether answers are shown as live Markdown."""
    stats = True
    """Whether it is said after an answer what it took."""

    def __init__(
        self,
        way: Way,
        fields: dict[str, Any],
        *,
        as_json: bool,
        stats: bool,
        markdown: bool = False,
    ) -> None:
        self._asked = dict(fields)
        self._as_json = as_json
        self.stats = stats
        self.markdown = markdown
        self.go(way)

    def go(self, way: Way) -> None:
        """Ask there from now on."""
        client = way.client
        self.way = way
        self._offers_resume = way.remote
        self._create: Any = (
            client.completions.create if "prompt" in self._asked else client.chat.completions.create
        )
        self._fields = {**self._asked, "model": way.model}
        if not way.remote:
            # a small model that draws by chance is often wrong where it knows better
            self._fields.setdefault("temperature", 0.0)
        if way.remote and self.stats:
            self._fields["stream_options"] = {"include_usage": True}
        self._loads = "connecting ..." if way.remote else "loading the model ..."
        self._patience_s = PATIENCE_S if way.remote else 0.0

    @property
    def draws(self) -> bool:
        """Whether another answer may come out differently: nobody has said how much chance."""
        return "temperature" not in self._asked and not self.way.remote

    def change(self, **fields: Any) -> None:
        """Ask with other fields from now on; None leaves one out."""
        self._asked = {
            name: value for name, value in {**self._asked, **fields}.items() if value is not None
        }
        self.go(self.way)

    def ask(self, **more: Any) -> Answered:
        """Show an answer, and return how it went; an interruption keeps what came."""
        answered = self._ask(more)
        if self._is_asked_anew(answered.error):
            self._offers_resume = False
            self._fields["resume"] = False
            answered = self._ask(more)
        return answered

    def _is_asked_anew(self, error: DeltaweirError | None) -> bool:
        """Say whether a refusal is of what was asked for unasked, and nobody need know."""
        return self._offers_resume and is_refused(error)

    def _ask(self, more: dict[str, Any]) -> Answered:
        opening = Opening(lambda: self._create(stream=True, **{**self._fields, **more}))
        try:
            # no thread of ours runs while the engine loads, so that is said beforehand
            with Waiting(lambda: self._loads, patience_s=self._patience_s):
                stream = opening.result()
        except KeyboardInterrupt:
            return Answered(INTERRUPTED)
        except DeltaweirError as error:
            return Answered(fail(error), error=error)
        self._patience_s = PATIENCE_S
        with stream:
            code, failure = self._show(stream)
            if failure is not None and _is_unheard(failure):
                return Answered(code, error=failure)
            if self.stats and (stream.usage is not None or stream.complete):
                (say_faint if self.markdown else say)(statistics(stream))
            message = stream.reply().choices[0].message if self._is_chat(stream) else None
            return Answered(code, message, failure, stream)

    def _show(self, stream: Stream[Any, Any]) -> tuple[int, DeltaweirError | None]:
        try:
            self._write(stream)
        except KeyboardInterrupt:
            stream.close()
            return INTERRUPTED, None
        except DeltaweirError as error:
            return ERROR if self._is_asked_anew(error) else fail(error), error
        return CUT if stream.stopped_by else COMPLETE, None

    def _write(self, stream: Stream[Any, Any]) -> None:
        """Show an answer while it arrives."""
        with self._answer(stream) as answer:
            reconnections = Reconnections(stream, answer)
            for chunk in stream:
                if stream.resumed_at:
                    reconnections.tell()
                answer.take(chunk)
            reconnections.tell()

    def _answer(self, stream: Stream[Any, Any]) -> Answer:
        if self.markdown and not self._as_json:
            return LiveAnswer(stream, colours=has_colours())
        return PlainAnswer(stream, as_json=self._as_json)

    @staticmethod
    def _is_chat(stream: Stream[Any, Any]) -> bool:
        return bool(stream.text) and hasattr(stream.reply().choices[0], "message")
