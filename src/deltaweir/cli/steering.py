"""What the commands of a conversation do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deltaweir.cli.ask import Asking, Way
from deltaweir.cli.process import fail
from deltaweir.cli.show import dollars, say, separated
from deltaweir.cli.transcript import Transcript, Used
from deltaweir.errors import DeltaweirError
from deltaweir.models.catalogue import catalogue, default_entry

_OFF = "off"


class Steering:
    """Change how a conversation goes on, and show how it went.

    Args:
        asking: Asks the model.
        transcript: What was said.
        find: Returns the way to a model of this name, and says where prompts go.
        guards: The names of the guards that are on.
    """

    def __init__(
        self,
        asking: Asking,
        transcript: Transcript,
        *,
        find: Callable[[str], Way],
        guards: Sequence[str] = (),
    ) -> None:
        self._asking = asking
        self._transcript = transcript
        self._find = find
        self._guards = list(guards)
        self._models: list[str] | None = None

    @property
    def model(self) -> str:
        """The model's name, as far as it is known."""
        return self._asking.way.model or "the provider's model"

    def status(self) -> str:
        """Return a line on the conversation, in a few words."""
        parts = [self.model, *_used(self._transcript.used)]
        if self._guards:
            parts.append(f"guard {', '.join(self._guards)}")
        return separated(*parts)

    def choices(self, command: str) -> list[str]:
        """Return what a command can be told, by its name."""
        if command == "model":
            return self._names()
        if command == "guard":
            return [*_presets(), _OFF]
        return [_OFF] if command == "system" else []

    def obey(self, command: str, argument: str) -> None:
        """Do what a command says, and say so; what goes wrong is said too."""
        if "\0" in argument:
            say(f"What /{command} is told has a NUL character in it; leave it out.")
            return
        try:
            getattr(self, f"_{command}")(argument)
        except DeltaweirError as error:
            fail(error)
        except OSError as error:
            say(f"deltaweir: {error.filename or 'the file'}: {error.strerror or error}")

    def _model(self, name: str) -> None:
        if name:
            self._asking.go(self._find(name))
            self._models = None
            return
        for one in self._listed():
            say(f"{'*' if one == self._asking.way.model else ' '} {one}")
        say("/model NAME asks another one, from the next message on.")

    def _listed(self) -> list[str]:
        if self._models is None:
            found = [model.id for model in self._asking.way.client.models.list()]
            self._models = found or [default_entry().name]
        return self._models

    def _names(self) -> list[str]:
        """Return names to complete; a provider that tells none is no news while typing."""
        try:
            return self._listed()
        except DeltaweirError:
            return list(catalogue())

    def _system(self, text: str) -> None:
        if text:
            self._transcript.system = None if text == _OFF else text
            say("No instructions stand before it all." if text == _OFF else "From now on.")
        elif self._transcript.system:
            say(self._transcript.system)
        else:
            say("There are no instructions; /system TEXT sets some.")

    def _guard(self, name: str) -> None:
        if not name:
            say(f"guard {', '.join(self._guards)}" if self._guards else "No guard is on.")
            say(f"/guard NAME sets one: {', '.join(_presets())}, or a .toml file; /guard off none.")
            return
        if name == _OFF:
            self._guards, guards = [], None
        else:
            from deltaweir.adapters.guards import Guard

            made = Guard(name)
            made.policy.prepare()
            self._guards, guards = [name], [made]
        self._asking.change(guard=guards)
        say(f"guard {name}, from the next message on" if self._guards else "No guard is on.")

    def _usage(self, _argument: str) -> None:
        by_model = self._transcript.by_model
        say(_answered(self._transcript.used))
        if len(by_model) > 1:
            for model, used in by_model.items():
                say(f"  {model}: {_answered(used)}")

    def _save(self, name: str) -> None:
        if not self._transcript.begun:
            say("There is nothing to save yet.")
            return
        path = Path(name or time.strftime("deltaweir-%Y-%m-%d-%H%M%S.md"))
        try:
            path = path.expanduser()
        except RuntimeError:
            say(f"{path.parts[0]} is no folder that is known here; name the file another way.")
            return
        as_json = path.suffix.lower() == ".json"
        write: Any = self._transcript.as_json if as_json else self._transcript.as_markdown
        try:
            with path.open("x", encoding="utf-8", errors="replace") as file:
                file.write(write(self.model))
        except FileExistsError:
            say(f"{path} exists, and no file is ever replaced; name another one.")
            return
        say(f"Saved in {path}")

    def _reset(self, _argument: str) -> None:
        self._transcript.forget()
        say("Forgotten.")


def _answered(used: Used) -> str:
    answers = f"{used.answers} answer{'' if used.answers == 1 else 's'}"
    return separated(answers, *_used(used))


def _used(used: Used) -> list[str]:
    if not used.answers:
        return ["nothing used yet"]
    cost = "cost unknown" if used.cost_usd is None else dollars(used.cost_usd)
    if used.cost_usd is not None and used.unpriced:
        cost += "+"
    return [f"{used.prompt:,} + {used.completion:,} tokens", cost]


def _presets() -> list[str]:
    from deltaweir.adapters.rule_files import PRESETS

    return [*PRESETS]
