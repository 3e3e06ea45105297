"""The surface that made streaming popular: ``ChatCompletion.create(stream=True)``.

As the openai package had it before 1.0: calls on classes, settings on the module, true
generators, and chunks that are dicts with attributes. Code of that time tells chunks from
replies with ``inspect.isgenerator``, prints them, and pickles them; all of that works.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, ClassVar, Literal, overload

from deltaweir.client.asynchronous import AsyncClient
from deltaweir.client.blocking import Client
from deltaweir.client.destination import check_destination
from deltaweir.errors import InvalidRequest
from deltaweir.models.catalogue import default_entry
from deltaweir.models.weights import is_embedded
from deltaweir.schema.record import Record


class ClassicObject(dict[str, Any]):
    """A dict whose items are attributes too, printed as indented JSON.

    A missing attribute raises AttributeError, a missing key KeyError. It is a dict to
    ``json.dumps``, pickle and copy.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        return json.dumps(self, indent=2)

    def to_dict(self) -> dict[str, Any]:
        """Return the object as a dict; what is inside keeps its attributes."""
        return dict(self)

    def to_dict_recursive(self) -> dict[str, Any]:
        """Return the object as plain dicts and lists."""
        plain: dict[str, Any] = json.loads(json.dumps(self))
        return plain


class ChatCompletion:
    """Chat completions, the classic way."""

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> Generator[ClassicObject, None, None]: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject: ...

    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject:
        """Answer a conversation.

        Without a provider every model name is answered by the embedded model, with one
        warning a process; the chunks tell its true name.

        Args:
            model: A model's name; ``engine=`` and ``deployment_id=`` mean the same.
            stream: Whether to return a generator of chunks.
            **params: ``messages`` and all else OpenAI's reference has;
                ``request_timeout`` in seconds.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            ModelUnavailable: The embedded model cannot be had.
        """
        fields = _fields(model, params)
        completions = Client().chat.completions
        if stream:
            return _chunks(completions.create(stream=True, **fields))
        return _classic(completions.create(**fields))

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> AsyncGenerator[ClassicObject, None]: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject: ...

    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject:
        """Answer a conversation, awaited; with ``stream=True`` an async generator.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            ModelUnavailable: The embedded model cannot be had.
        """
        fields = _fields(model, params)
        completions = AsyncClient().chat.completions
        if stream:
            return _achunks(await completions.create(stream=True, **fields))
        return _classic(await completions.create(**fields))


class Completion:
    """Text completions, the classic way."""

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> Generator[ClassicObject, None, None]: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject: ...

    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject:
        """Complete a text; see `ChatCompletion.create`, with ``prompt`` for ``messages``.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            ModelUnavailable: The embedded model cannot be had.
        """
        fields = _fields(model, params)
        completions = Client().completions
        if stream:
            return _chunks(completions.create(stream=True, **fields))
        return _classic(completions.create(**fields))

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> AsyncGenerator[ClassicObject, None]: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject: ...

    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject:
        """Complete a text, awaited; with ``stream=True`` an async generator.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            ModelUnavailable: The embedded model cannot be had.
        """
        fields = _fields(model, params)
        completions = AsyncClient().completions
        if stream:
            return _achunks(await completions.create(stream=True, **fields))
        return _classic(await completions.create(**fields))


class _Settings:
    """What the classic surface remembers in a process."""

    warned: ClassVar[bool] = False


# settings of a connection, which the embedded model does not have
_CONNECTION = frozenset({"api_type", "api_version", "headers", "organization"})


def _fields(model: str | None, params: dict[str, Any]) -> dict[str, Any]:
    module = sys.modules["deltaweir"]
    params = {name: value for name, value in params.items() if name not in _CONNECTION}
    check_destination(
        base_url=params.pop("api_base", None) or module.api_base,
        api_key=params.pop("api_key", None) or module.api_key,
    )
    wanted = params.pop("engine", None)
    wanted = params.pop("deployment_id", None) or wanted
    params["model"] = _embedded(model or wanted)
    limit = params.pop("request_timeout", None)
    if limit is not None:
        # requests takes a pair, of which the second is the wait for an answer
        params["timeout"] = limit[1] if isinstance(limit, tuple) else limit
    return params


def _embedded(model: Any) -> str | None:
    """Return the embedded model that answers for a name, with one warning if it is another."""
    if model is None or (isinstance(model, str) and is_embedded(model)):
        return model
    if not isinstance(model, str):
        raise InvalidRequest(
            f"got a model of type {type(model).__name__}, expected a name", param="model"
        )
    default = default_entry().name
    if not _Settings.warned:
        _Settings.warned = True
        warnings.warn(
            f"no provider is configured, so {default} on this machine answers for {model}",
            stacklevel=4,
        )
    return default


def _chunks(stream: Any) -> Generator[ClassicObject, None, None]:
    with stream:
        for chunk in stream:
            yield _classic(chunk)


async def _achunks(stream: Any) -> AsyncGenerator[ClassicObject, None]:
    async with stream:
        async for chunk in stream:
            yield _classic(chunk)


def _classic(record: Record) -> ClassicObject:
    return ClassicObject({name: _attributed(value) for name, value in record.model_dump().items()})


def _attributed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ClassicObject({name: _attributed(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return [_attributed(inner) for inner in value]
    return value
