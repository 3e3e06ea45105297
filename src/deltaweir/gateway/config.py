"""The gateway's configuration: one TOML file, every key with a default, no key unknown."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from deltaweir.errors import InvalidRequest, InvalidRule
from deltaweir.gateway.guards import GuardConfig, Guards, guards_in
from deltaweir.meter.budget import Limit, limit_of
from deltaweir.meter.prices import Price, own_price
from deltaweir.models.catalogue import default_entry

_SQLITE = "sqlite:///"


def ledger_path(url: str) -> str:
    """Return the path of the file in a ledger's URL.

    Raises:
        InvalidRequest: The URL names no ledger that is supported.
    """
    path = url.removeprefix(_SQLITE)
    if path in {"", url}:
        # not the URL itself: it may hold a password
        raise InvalidRequest(
            f"the ledger's URL begins with {url.partition(':')[0]!r}; supported are "
            "sqlite:///file.db and sqlite:////directory/file.db",
            param="ledger.url",
        )
    return path


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[server]``.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        cors_origins: Web origins whose pages may call; ``*`` for all.
        heartbeat_s: Seconds of silence before a comment is sent, since proxies close
            connections that are silent for 30 to 100.
        max_body_mib: MiB of the largest request.
        drain_s: Seconds that open streams have to end when the server is told to stop.
        annotate: Whether finish chunks carry usage and cost under ``deltaweir``.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    cors_origins: tuple[str, ...] = ()
    heartbeat_s: float = 15.0
    max_body_mib: float = 16.0
    drain_s: float = 30.0
    annotate: bool = True


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the tables ``[[models]]``.

    Attributes:
        name: What clients call it.
        embedded: A catalogue name, or the path of a GGUF file.
        budget: What each stream may use at most: ``{tokens = 500, usd = 0.02}``, or a text such
            as ``"500tok"``; a request may only ask for less.
        price: US dollars per million tokens: ``{input = 0.15, output = 0.6}``, and what
            `deltaweir.meter.prices.own_price` takes beside; nothing for the embedded model.
        guard: The name of one of the tables ``[guards.NAME]``, or of a preset, or several in a
            list; all of them look at each stream, and a request may only add more.
    """

    name: str
    embedded: str
    guard: str | tuple[str, ...] | None = None
    budget: dict[str, Any] | str | None = None
    price: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse a budget or a price that is none."""
        limit_of(self.budget)
        if self.price is not None:
            own_price(self.name, self.price)

    @property
    def limit(self) -> Limit:
        """The budget, as a limit."""
        return limit_of(self.budget)

    @property
    def guards(self) -> tuple[str, ...]:
        """The names of its guards."""
        named = () if self.guard is None else self.guard
        return (named,) if isinstance(named, str) else named

    @property
    def own_price(self) -> Price | None:
        """The price, as integers; None where none is set."""
        return None if self.price is None else own_price(self.name, self.price)


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[ledger]``.

    Attributes:
        url: ``sqlite:///file.db`` from the working directory, ``sqlite:////directory/file.db``,
            or an empty text for no ledger.
    """

    url: str = "sqlite:///deltaweir.db"

    def __post_init__(self) -> None:
        """Refuse a URL that names no ledger."""
        if self.url:
            ledger_path(self.url)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of the configuration; without models, the embedded default is served.

    Attributes:
        server: The table ``[server]``.
        models: The tables ``[[models]]``; the first is what a request without a model gets.
        guards: The tables ``[guards.NAME]``, by name.
        ledger: The table ``[ledger]``.
    """

    server: ServerConfig = ServerConfig()
    models: tuple[ModelConfig, ...] = ()
    guards: dict[str, GuardConfig] = {}
    ledger: LedgerConfig = LedgerConfig()

    def __post_init__(self) -> None:
        """Compile all guards, and refuse names that no guard has.

        Before a server starts is the only time at which somebody reads what is wrong with a
        rule, and can mend it.
        """
        guards = Guards(self.guards)
        guards.prepare()
        for model in self.models:
            try:
                guards.named(model.guards)
            except InvalidRequest as error:
                raise InvalidRequest(
                    f"model {model.name!r}: {error.message}", param="models"
                ) from error


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$(?P<at>.*)`)?")


def embedded_config(model: str | None = None, **server: Any) -> Config:
    """Return a configuration that serves one embedded model.

    Args:
        model: A catalogue name or a GGUF path; None for the default model.
        **server: Keys of ``[server]``.
    """
    name = model or default_entry().name
    shown = Path(name).stem if name.endswith(".gguf") else name
    return Config(server=ServerConfig(**server), models=(ModelConfig(name=shown, embedded=name),))


def load_config(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        InvalidRequest: The file is not there, is no TOML, or has a key that is unknown or
            of another type; the message names the key, and the nearest known one.
        InvalidRule: A guard's rules cannot be used; the message names the guard, its file, the
            rule, and the place in its pattern.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}", param="config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is not TOML: {error}", param="config") from error
    try:
        if "guards" in table:
            table["guards"] = guards_in(table["guards"], Path(path).parent)
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{path}: {_explained(str(error))}", param="config") from error
    except InvalidRule as error:
        raise InvalidRule(
            f"{path}: {error.message}",
            rule=error.rule,
            position=error.position,
            reason=error.reason,
            param="config",
        ) from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", param="config") from error
    if config.models:
        return config
    return msgspec.structs.replace(config, models=embedded_config().models)


def _explained(message: str) -> str:
    found = _UNKNOWN.match(message)
    if found is None:
        return message
    at = found["at"] or ""
    kind: type[msgspec.Struct] = Config
    if ".server" in at:
        kind = ServerConfig
    elif ".models" in at:
        kind = ModelConfig
    elif ".ledger" in at:
        kind = LedgerConfig
    known = kind.__struct_fields__
    near = difflib.get_close_matches(found["field"], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"unknown key {found['field']!r} in {at.lstrip('.') or 'the file'}; {hint}"
