"""The gateway's configuration: one TOML file, every key with a default, no key unknown."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.models.catalogue import default_entry


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
    """

    name: str
    embedded: str


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of the configuration; without models, the embedded default is served."""

    server: ServerConfig = ServerConfig()
    models: tuple[ModelConfig, ...] = ()


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
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}", param="config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is not TOML: {error}", param="config") from error
    try:
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{path}: {_explained(str(error))}", param="config") from error
    return config if config.models else embedded_config(**msgspec.structs.asdict(config.server))


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
    known = kind.__struct_fields__
    near = difflib.get_close_matches(found["field"], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"unknown key {found['field']!r} in {at.lstrip('.') or 'the file'}; {hint}"
