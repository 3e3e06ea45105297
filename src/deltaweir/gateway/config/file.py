"""The gateway's configuration: one TOML file, every key with a default, no key unknown.

Each kind of table has a struct of its own, and may be imported from here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from deltaweir.errors import InvalidRequest, InvalidRule
from deltaweir.gateway.config.guards import GuardConfig, Guards, guards_in
from deltaweir.gateway.config.ledger import LedgerConfig, ledger_path
from deltaweir.gateway.config.model import ModelConfig
from deltaweir.gateway.config.recordings import RecordingsConfig
from deltaweir.gateway.config.server import ServerConfig
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.gateway.config.tables import hint, label_of, refuse_twice, rows_of, struct_of
from deltaweir.gateway.config.upstream import UpstreamConfig
from deltaweir.models.catalogue import default_entry

__all__ = [
    "Config",
    "LedgerConfig",
    "ModelConfig",
    "Outline",
    "RecordingsConfig",
    "ServerConfig",
    "StoreConfig",
    "UpstreamConfig",
    "embedded_config",
    "ledger_in",
    "ledger_path",
    "load_config",
    "outline_in",
    "store_in",
]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of the configuration.

    Attributes:
        server: The table ``[server]``.
        upstreams: The tables ``[[upstreams]]``.
        models: The tables ``[[models]]``; the first is what a request without a model gets.
        guards: The tables ``[guards.NAME]``, by name.
        ledger: The table ``[ledger]``.
        store: The table ``[store]``.
        recordings: The table ``[recordings]``.
    """

    server: ServerConfig = ServerConfig()
    upstreams: tuple[UpstreamConfig, ...] = ()
    models: tuple[ModelConfig, ...] = ()
    guards: dict[str, GuardConfig] = {}
    ledger: LedgerConfig = LedgerConfig()
    store: StoreConfig = StoreConfig()
    recordings: RecordingsConfig = RecordingsConfig()

    def __post_init__(self) -> None:
        """Compile all guards, and refuse names that nothing has or that two have.

        Before a server starts is the only time at which somebody reads what is wrong with a
        rule, and can mend it.
        """
        refuse_twice((one.name for one in self.upstreams), "upstreams", param="upstreams")
        refuse_twice((one.name for one in self.models), "models", param="models")
        if self.server.auth == "keys" and not (self.ledger.url or self.store.shared):
            raise InvalidRequest(
                'server: auth = "keys" needs a ledger or a store, since keys are kept there',
                param="server",
            )
        guards = Guards(self.guards)
        guards.prepare()
        for model in self.models:
            try:
                guards.named(model.guards)
                self._check_upstreams(model)
            except InvalidRequest as error:
                raise InvalidRequest(
                    f"model {model.name!r}: {error.message}", param="models"
                ) from error

    def _check_upstreams(self, model: ModelConfig) -> None:
        known = [one.name for one in self.upstreams]
        for name in model.upstreams:
            if name not in known:
                near = hint(name, known) if known else "the file has no [[upstreams]]"
                raise InvalidRequest(f"no upstream is called {name!r}; {near}", param="models")


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

    Without models each upstream ``u`` serves all of its own as ``u/*``; without upstreams too,
    the embedded default is served.

    Args:
        path: The file; paths in it, of rules, certificates, recordings and the ledger, are taken
            from where it lies.

    Raises:
        InvalidRequest: The file is not there, is no TOML, or has a key that is unknown or a
            value of no use; the message names file, table and key, and the nearest known one.
        InvalidRule: A guard's rules cannot be used; the message names the guard, its file, the
            rule, and the place in its pattern.
    """
    table = _parsed(path)
    try:
        return _config(table, Path(path).parent)
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


def ledger_in(path: str | Path) -> LedgerConfig:
    """Read only the ledger of a configuration file, for who needs no keys or rules of it.

    Args:
        path: The file; the ledger's path is taken from where it lies, as by `load_config`.

    Raises:
        InvalidRequest: The file is not there, is no TOML, or its ledger is none.
    """
    try:
        return _ledger(_parsed(path), Path(path).parent)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", param="config") from error


def store_in(path: str | Path) -> StoreConfig:
    """Read only the store of a configuration file, as `ledger_in` reads the ledger.

    Args:
        path: The file.

    Raises:
        InvalidRequest: The file is not there, is no TOML, or its store is none.
    """
    try:
        return _store(_parsed(path), Path(path).parent)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", param="config") from error


class Outline(NamedTuple):
    """What decides on keys in a configuration, as far as it can be told."""

    asks_for_keys: bool
    models: tuple[str, ...] | None
    """Names and patterns of models; None where the file leaves them to its upstreams."""


def outline_in(path: str | Path) -> Outline:
    """Read only what decides on keys, for who has no secrets and rules of the file.

    Args:
        path: The file.

    Raises:
        InvalidRequest: The file is not there, or is no TOML.
    """
    table = _parsed(path)
    server, rows = table.get("server"), table.get("models")
    listed = rows if isinstance(rows, list) else []
    names = [row.get("name") for row in listed if isinstance(row, Mapping)]
    models = tuple(name for name in names if isinstance(name, str))
    return Outline(
        asks_for_keys=isinstance(server, Mapping) and server.get("auth") == "keys",
        models=models or None,
    )


def _parsed(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}", param="config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        said = f"{path} is not TOML: {error}"
        if Path(path).suffix in {".yaml", ".yml"}:
            said = f"{path} is YAML, not TOML; docs/from-litellm.md translates a LiteLLM file"
        raise InvalidRequest(said, param="config") from error


def _config(table: dict[str, Any], directory: Path) -> Config:
    for key, value in table.items():
        if key not in Config.__struct_fields__:
            raise InvalidRequest(
                f"unknown key {key!r} in the file; {_home(key, value)}", param="config"
            )
    upstreams = tuple(
        _upstream(row, number, directory)
        for number, row in enumerate(rows_of(table.get("upstreams", []), of="upstreams"), 1)
    )
    models = tuple(
        struct_of(
            ModelConfig,
            row,
            where=label_of(row, "model", number),
            param="models",
            **_from(directory, row, "replay"),
        )
        for number, row in enumerate(rows_of(table.get("models", []), of="models"), 1)
    )
    return Config(
        server=struct_of(ServerConfig, table.get("server", {}), where="server", param="server"),
        upstreams=upstreams,
        models=models or _models_unless_told(upstreams),
        guards=guards_in(table.get("guards", {}), directory),
        ledger=_ledger(table, directory),
        store=_store(table, directory),
        recordings=_recordings(table.get("recordings", {}), directory),
    )


def _home(key: str, value: Any) -> str:
    """Return under which table a key belongs; for a table's own name, the nearest known one."""
    kinds = {
        "[server]": ServerConfig,
        "[[upstreams]]": UpstreamConfig,
        "[[models]]": ModelConfig,
        "[ledger]": LedgerConfig,
        "[store]": StoreConfig,
        "[recordings]": RecordingsConfig,
    }
    homes = [table for table, kind in kinds.items() if key in kind.__struct_fields__]
    if homes and not isinstance(value, dict | list):
        return f"it belongs under {' or '.join(homes)}"
    return hint(key, Config.__struct_fields__)


def _ledger(table: dict[str, Any], directory: Path) -> LedgerConfig:
    told = struct_of(LedgerConfig, table.get("ledger", {}), where="ledger", param="ledger")
    return told.beside(directory)  # also where nothing is told: all commands mean the same ledger


def _store(table: dict[str, Any], directory: Path) -> StoreConfig:
    row = table.get("store", {})
    return struct_of(
        StoreConfig, row, where="store", param="store", **_from(directory, row, "ca_file")
    )


def _recordings(row: Any, directory: Path) -> RecordingsConfig:
    given = _from(directory, row, "dir")
    return struct_of(RecordingsConfig, row, where="recordings", param="recordings", **given)


def _upstream(row: Any, number: int, directory: Path) -> UpstreamConfig:
    return struct_of(
        UpstreamConfig,
        row,
        where=label_of(row, "upstream", number),
        param="upstreams",
        **_from(directory, row, "ca_file"),
    )


def _from(directory: Path, row: Any, key: str) -> dict[str, str]:
    """Return a path in a table as it is meant: from where the configuration lies."""
    if isinstance(row, Mapping) and isinstance(row.get(key), str) and row[key]:
        return {key: str(directory / row[key])}
    return {}


def _models_unless_told(upstreams: tuple[UpstreamConfig, ...]) -> tuple[ModelConfig, ...]:
    if not upstreams:
        return embedded_config().models
    return tuple(ModelConfig(name=f"{one.name}/*", upstreams=(one.name,)) for one in upstreams)
