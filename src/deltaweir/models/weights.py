"""From what a user calls a model to a file that the engine can be given."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from deltaweir.errors import ModelCorrupt, ModelUnavailable
from deltaweir.models.cache import path_of, present
from deltaweir.models.catalogue import Entry, catalogue, find
from deltaweir.models.gguf import Head, read_head
from deltaweir.models.progress import Progress
from deltaweir.models.pull import pull


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Name a weights file that is there, whole, and holds a language model.

    Attributes:
        path: The file.
        name: Its name in the catalogue, or the file's own name without its ending.
        entry: What the catalogue says of it, None for a file of the user's.
        head: What the file says of itself.
    """

    path: Path
    name: str
    entry: Entry | None
    head: Head


def is_embedded(name: str) -> bool:
    """Say whether ``name`` can only mean the embedded model.

    That is a catalogue name, a name that ends with ``.gguf``, or a file that is there. A
    separator alone is no sign: providers' models have names such as ``owner/model``.
    """
    return name in catalogue() or _is_file_name(name)


def _is_file_name(name: str) -> bool:
    # os.path never raises for names that cannot be, unlike pathlib
    is_file = os.path.isfile(name)  # noqa: PTH113
    return is_file or (name.lower().endswith(".gguf") and "\0" not in name)


def _is_path(name: str) -> bool:
    separators = ("/", os.sep, os.altsep or os.sep)
    has_separator = any(separator in name for separator in separators)
    return _is_file_name(name) or (has_separator and "\0" not in name)


def resolve(
    name: str | os.PathLike[str], *, progress: Progress | None = None, allow_pull: bool = True
) -> Weights:
    """Return the weights that ``name`` means, pulling them when the catalogue knows them.

    Args:
        name: A catalogue name, or the path of a GGUF file: anything that ends with
            ``.gguf``, has a separator in it, or is a file.
        progress: Told what a pull is doing; None for silence.
        allow_pull: Whether weights that are not on this machine may be downloaded.

    Raises:
        ModelNotFound: It is neither a catalogue name nor a path.
        ModelUnavailable: The file is not there, cannot be read or cannot be pulled.
        ModelCorrupt: The file is damaged, or holds no language model.
    """
    spelled = os.fspath(name)
    entry = catalogue().get(spelled)
    if entry is not None:
        return _from_catalogue(entry, progress=progress, allow_pull=allow_pull)
    if isinstance(name, str) and not _is_path(spelled):
        find(spelled)
    path = Path(os.path.expanduser(spelled))  # noqa: PTH111  never raises, unlike pathlib's
    return Weights(path=path, name=path.stem, entry=None, head=_language_model(path))


def _from_catalogue(entry: Entry, *, progress: Progress | None, allow_pull: bool) -> Weights:
    if not allow_pull and not present(entry, progress=progress):
        message = (
            f"{entry.name} is not on this machine, and downloading is not allowed here.\n"
            f"`deltaweir model pull {entry.name}` downloads it ({entry.bytes // 10**6} MB)."
        )
        raise ModelUnavailable(message)
    path = pull(entry, progress=progress) if allow_pull else path_of(entry)
    return Weights(path=path, name=entry.name, entry=entry, head=_language_model(path))


def _language_model(path: Path) -> Head:
    head = read_head(path)
    if head.tensors == 0 or head.vocabulary == 0:
        got = (
            "a vocabulary without weights" if head.tensors == 0 else "weights without a vocabulary"
        )
        message = f"{path} holds {got}; wanted a language model"
        raise ModelCorrupt(message)
    return head
