"""The models that Deltaweir knows by name, decoded from ``catalogue.toml``.

The data file pins each model's size and SHA-256, so it does not matter who delivers the
bytes: a source is only a place to try.
"""

from __future__ import annotations

import functools
import importlib.resources
import tomllib

import msgspec

from deltaweir.errors import ModelNotFound

_SHOWN_NAME_CHARS = 80


class HubSource(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="hub",
):
    """Name a file in a repository of the official model hub.

    Attributes:
        repo: Owner and repository.
        file: Path of the file inside the repository.
    """

    repo: str
    file: str


class Wheel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name one wheel that carries a part of a weights file as package data.

    Attributes:
        distribution: Name of the package.
        version: Its exact version.
        member: Path of the data file inside the wheel.
        bytes: Size of that data file, unpacked.
    """

    distribution: str
    version: str
    member: str
    bytes: int


class WheelSource(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="wheels",
):
    """Name the wheels whose data files, put one after the other, are the weights file.

    Attributes:
        wheels: The wheels, in the order of the parts.
    """

    wheels: tuple[Wheel, ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describe one model of the catalogue.

    Attributes:
        name: The name users type.
        title: The name for people to read.
        file: File name of the weights in the cache.
        bytes: Size of the weights file.
        sha256: SHA-256 of the weights file, in lower-case hexadecimal digits.
        licence: SPDX identifier of the licence of the weights.
        licence_url: Where the licence can be read, or None.
        context: Tokens of context to run the model with unless told otherwise.
        tools: Whether the model's chat template knows tools.
        default: Whether this is the model used when none is named.
        sources: Where to get the file, in the order to try.
    """

    name: str
    title: str
    file: str
    bytes: int
    sha256: str
    licence: str
    context: int
    tools: bool
    sources: tuple[HubSource | WheelSource, ...]
    licence_url: str | None = None
    default: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: tuple[Entry, ...]


@functools.cache
def _decoded() -> dict[str, Entry]:
    text = importlib.resources.files(__package__).joinpath("catalogue.toml").read_text("utf-8")
    file = msgspec.convert(tomllib.loads(text), _File)
    return {entry.name: entry for entry in file.models}


def catalogue() -> dict[str, Entry]:
    """Return the models that have a name, by name, in the order of the data file.

    The data file is decoded once; the dictionary is the caller's own.
    """
    return dict(_decoded())


def default_entry() -> Entry:
    """Return the model that is used when none is named."""
    return next(entry for entry in _decoded().values() if entry.default)


def find(name: str) -> Entry:
    """Return the model of this name.

    Args:
        name: A name of the catalogue, spelled exactly.

    Raises:
        ModelNotFound: No model has this name; the message names those that exist.
    """
    entry = _decoded().get(name)
    if entry is None:
        known = ", ".join(
            f"{e.name} (default)" if e.default else e.name for e in _decoded().values()
        )
        got = name if len(name) <= _SHOWN_NAME_CHARS else f"{name[:_SHOWN_NAME_CHARS]}..."
        message = (
            f"no embedded model is called {got!r}; the catalogue has: {known}.\n"
            "Weights of your own go by the path of a .gguf file."
        )
        raise ModelNotFound(message, param="model")
    return entry


def licence_text(entry: Entry) -> str:
    """Return the full text of the licence that the weights of ``entry`` come under."""
    folder = importlib.resources.files(__package__).joinpath("licences")
    return folder.joinpath(f"{entry.licence}.txt").read_text("utf-8")
