"""The classic surface: true generators of dicts with attributes, printed as they used to be."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import io
import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import deltaweir
from deltaweir.client import classic
from deltaweir.client import classic_calls as calls
from deltaweir.client.classic import ChatCompletion, Completion
from deltaweir.client.classic_objects import ClassicObject
from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.errors import InvalidRequest, StreamTruncated
from deltaweir.net.async_pool import AsyncPool
from deltaweir.testing import AsyncScript, Script
from deltaweir.types import Chunk, Reply, Usage
from deltaweir.weir import Weir

LINES = (Path(__file__).parent.parent / "data" / "classic_chunks.jsonl").read_text().splitlines()
PLAIN = [json.loads(line) for line in LINES]
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "classic_chunks.txt"
HELLO = [{"role": "user", "content": "hello"}]


def chunks() -> list[Chunk]:
    """Return the four chunks that made the snippet known."""
    return [Chunk.model_validate_json(line) for line in LINES]


def pickled(one: Any) -> Any:
    """Return an object after a journey through pickle."""
    return pickle.loads(pickle.dumps(one))  # noqa: S301  # our own bytes


def generator() -> tuple[Any, Script[Chunk]]:
    """Return the classic generator over a scripted source, and the source."""
    source: Script[Chunk] = Script(chunks())
    return classic._chunks(Stream(source, Reply, weir=Weir(Chunk))), source


def test_the_four_chunks_print_byte_for_byte() -> None:
    """The known snippet prints what its article showed, with the indentation it lost."""
    seen = io.StringIO()
    with contextlib.redirect_stdout(seen):
        for chunk in generator()[0]:
            print(chunk)  # noqa: T201  # what the snippet does
    assert seen.getvalue() == "".join(
        json.dumps(one, indent=2, sort_keys=True) + "\n" for one in PLAIN
    )


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the article lies beside the repository only")
def test_the_four_chunks_are_the_published_ones() -> None:
    """But for the indentation, the article shows these very lines."""
    printed = "\n".join(str(chunk) for chunk in generator()[0])
    published = PUBLISHED.read_text().splitlines()
    assert [line.strip() for line in printed.splitlines()] == published


def test_a_generator_is_a_generator() -> None:
    """Code of that time tells chunks from replies with `inspect`."""
    assert inspect.isgenerator(generator()[0])


def test_the_text_of_the_snippet() -> None:
    """Items and attributes say the same, at every level."""
    for one in generator()[0]:
        assert one.choices[0].delta == one["choices"][0]["delta"]
        assert one.id == "chatcmpl-6ptKyqKOGXZT6iQnqiXAH8adNLUzD"
    texts = [one.choices[0].delta.get("content", "") for one in generator()[0]]
    assert "".join(texts) == "\n\n2"


def test_closing_the_generator_closes_the_source() -> None:
    """A closed generator ends the generation at once, and is over."""
    opened, source = generator()
    next(opened)
    opened.close()
    assert source.closed
    assert list(opened) == []


@pytest.mark.parametrize("started", [False, True])
def test_dropping_the_generator_closes_the_source(started: bool) -> None:
    """A generator that nobody holds any more ends the generation, started or not."""
    opened, source = generator()
    if started:
        next(opened)
    del opened
    gc.collect()
    assert source.closed


def test_errors_come_through() -> None:
    """A stream that breaks off raises in the loop that reads it."""
    source: Script[Chunk] = Script(chunks()[:2])
    opened = classic._chunks(Stream(source, Reply, weir=Weir(Chunk)))
    assert len([next(opened), next(opened)]) == 2
    with pytest.raises(StreamTruncated):
        next(opened)


def agenerator() -> tuple[Any, AsyncScript[Chunk]]:
    """Return the classic async generator over a scripted source, and the source."""
    source: AsyncScript[Chunk] = AsyncScript(chunks())
    return classic._achunks(AsyncStream(source, Reply, weir=Weir(Chunk)), AsyncPool()), source


async def test_the_async_generator() -> None:
    """`acreate` gives an async generator of the same chunks, and closing it closes the source."""
    opened, source = agenerator()
    assert inspect.isasyncgen(opened)
    assert [one async for one in opened] == PLAIN
    opened, source = agenerator()
    await anext(opened)
    await opened.aclose()
    assert source.closed


# --- objects -------------------------------------------------------------------------------


def test_an_object_prints_in_the_order_it_came() -> None:
    """Printing is `json.dumps` with indent 2 in the order of the keys, non-ASCII escaped."""
    one = ClassicObject({"z": "é", "a": [ClassicObject({"b": None})]})
    assert str(one) == json.dumps({"z": "é", "a": [{"b": None}]}, indent=2)
    assert "\\u00e9" in str(one)
    assert f"{one}" == str(one)


def test_what_is_missing() -> None:
    """A missing attribute is an AttributeError, a missing item a KeyError."""
    one = ClassicObject()
    with pytest.raises(AttributeError, match="x"):
        one.x  # noqa: B018
    with pytest.raises(AttributeError, match="x"):
        del one.x
    with pytest.raises(KeyError, match="x"):
        one["x"]
    assert getattr(one, "x", 5) == one.get("x", 5) == 5


def test_attributes_are_items() -> None:
    """What is set as an attribute is an item, and the other way round."""
    one = ClassicObject()
    one.x = 1
    assert one == {"x": 1}
    one["y"] = 2
    assert one.y == 2
    del one.x
    assert one == {"y": 2}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_objects_are_copied_whole(copied: Any) -> None:
    """Copies and pickles are objects of the same kind at every level."""
    for one in generator()[0]:
        again = copied(one)
        assert again == one
        assert type(again) is ClassicObject
        assert type(again.choices[0].delta) is ClassicObject


def test_objects_are_dicts_to_json() -> None:
    """`json.dumps` takes an object as it is; `to_dict` gives plain data."""
    for one, plain in zip(generator()[0], PLAIN, strict=True):
        assert json.loads(json.dumps(one)) == plain
        assert type(one.to_dict()) is dict
        assert one.to_dict() == one.to_dict_recursive() == plain
        assert type(one.to_dict_recursive()["choices"][0]) is dict


# --- calls ---------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put scripted clients in place of the embedded model, and return what they are asked."""
    seen = list[dict[str, Any]]()

    class Scripted:
        """What a call goes through, both for one that blocks and one that awaits."""

        @property
        def blocking(self) -> Any:
            def stream(fields: dict[str, Any], kind: Any, reply: Any) -> Any:
                seen.append(fields)
                return Stream(Script(chunks()), Reply, weir=Weir(Chunk))

            def whole(fields: dict[str, Any], kind: Any, reply: Any) -> Any:
                seen.append(fields)
                return _reply()

            return SimpleNamespace(stream=stream, whole=whole)

        def asynchronous(self) -> Any:
            async def stream(fields: dict[str, Any], kind: Any, reply: Any) -> Any:
                seen.append(fields)
                return AsyncStream(AsyncScript(chunks()), Reply, weir=Weir(Chunk))

            async def whole(fields: dict[str, Any], kind: Any, reply: Any) -> Any:
                seen.append(fields)
                return _reply()

            pool = SimpleNamespace(close=lambda: None)
            return SimpleNamespace(stream=stream, whole=whole, pool=pool)

    monkeypatch.setattr(calls, "Way", lambda dispatch, proxy: Scripted())
    return seen


def _reply() -> Reply:
    return Reply(id="r", usage=Usage(total_tokens=3))


@pytest.fixture(autouse=True)
def never_warned() -> Iterator[None]:
    """Let each test see the process's first warning."""
    before, calls._Process.warned = calls._Process.warned, False
    yield
    calls._Process.warned = before


@pytest.mark.parametrize("surface", [ChatCompletion, Completion])
def test_create(surface: Any, asked: list[dict[str, Any]]) -> None:
    """With `stream=True` a generator, without it a whole reply, as an object."""
    opened = surface.create(model="smollm2", stream=True, messages=HELLO)
    assert inspect.isgenerator(opened)
    assert list(opened) == PLAIN
    reply = surface.create("smollm2", messages=HELLO)
    assert (reply.id, reply.usage.total_tokens) == ("r", 3)
    assert asked[0] == {"model": "smollm2", "messages": HELLO, "stream": True}
    assert asked[1] == {"model": "smollm2", "messages": HELLO}


@pytest.mark.parametrize("surface", [ChatCompletion, Completion])
async def test_acreate(surface: Any, asked: list[dict[str, Any]]) -> None:
    """Awaited with `stream=True` an async generator, without it a whole reply."""
    opened = await surface.acreate(model="smollm2", stream=True, prompt="x")
    assert inspect.isasyncgen(opened)
    assert [one async for one in opened] == PLAIN
    assert (await surface.acreate(model="smollm2", prompt="x")).usage.total_tokens == 3
    assert asked[0] == {"model": "smollm2", "prompt": "x", "stream": True}
    assert asked[1] == {"model": "smollm2", "prompt": "x"}


@pytest.mark.parametrize("name", ["gpt-3.5-turbo", "code-davinci-002"])
def test_any_model_name_is_answered_with_one_warning(
    name: str, asked: list[dict[str, Any]]
) -> None:
    """An old snippet's model is answered by the embedded one; the caller is told once."""
    with pytest.warns(UserWarning, match=f"on this machine answers for {name}") as caught:
        ChatCompletion.create(model=name, messages=HELLO)
    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ChatCompletion.create(model=name, messages=HELLO)
    assert {one["model"] for one in asked} == {"qwen2.5-coder-0.5b"}


def test_no_model_is_the_embedded_default(asked: list[dict[str, Any]]) -> None:
    """Without a name nobody is warned."""
    ChatCompletion.create(messages=HELLO)
    assert asked == [{"model": None, "messages": HELLO}]


@pytest.mark.parametrize("alias", ["engine", "deployment_id"])
def test_a_model_by_its_old_names(alias: str, asked: list[dict[str, Any]]) -> None:
    """`engine` and `deployment_id` name a model; `model` comes first."""
    old: dict[str, Any] = {alias: "smollm2"}
    ChatCompletion.create(messages=HELLO, **old)
    ChatCompletion.create(model="smollm2", messages=HELLO, **{**old, alias: "x.gguf"})
    assert [one["model"] for one in asked] == ["smollm2", "smollm2"]
    assert all(alias not in one for one in asked)


def test_options_of_a_connection(asked: list[dict[str, Any]]) -> None:
    """`request_timeout` is the total, of a pair the second; headers are no field."""
    for value in (5, (1, 5)):
        ChatCompletion.create("smollm2", messages=HELLO, request_timeout=value, temperature=0)
    ChatCompletion.create("smollm2", messages=HELLO, headers={}, organization="o")
    assert (
        asked[:2] == [{"model": "smollm2", "messages": HELLO, "temperature": 0, "timeout": 5}] * 2
    )
    assert asked[2] == {"model": "smollm2", "messages": HELLO}


@pytest.mark.parametrize("name", ["api_type", "api_version"])
def test_azures_old_addresses_are_refused(name: str) -> None:
    """What this surface does not speak is refused, with the way that works."""
    with pytest.raises(InvalidRequest, match="default_query"):
        calls.classic_call("smollm2", {"messages": HELLO, name: "azure"})


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of a provider."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "DELTAWEIR_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def went_to(**params: Any) -> Any:
    """Return the provider that a call goes to, and the model it asks."""
    way, fields = calls.classic_call("gpt-4", {"messages": HELLO, **params})
    return way.blocking.provider(fields["model"]), fields["model"]


def test_a_provider_is_named_by_call_module_or_environment(bare: pytest.MonkeyPatch) -> None:
    """The call comes before the module, and that before the environment."""
    bare.setenv("OPENAI_API_BASE", "http://127.0.0.1:1/env")
    bare.setenv("OPENAI_API_KEY", "k")
    provider, model = went_to()
    assert (provider.path, provider.api_key, model) == ("/env", "k", "gpt-4")
    bare.setattr(deltaweir, "api_base", "http://127.0.0.1:1/module")
    bare.setattr(deltaweir, "api_key", "m")
    provider, _ = went_to()
    assert (provider.path, provider.api_key) == ("/module", "m")
    provider, _ = went_to(api_base="http://127.0.0.1:1/call", api_key="c", organization="o")
    assert (provider.path, provider.api_key) == ("/call", "c")
    assert ("openai-organization", "o") in provider.headers


def test_a_key_alone_is_openais(bare: pytest.MonkeyPatch) -> None:
    """A key without an address means the provider whose package this surface was."""
    provider, model = went_to(api_key="k")
    assert (provider.origin.host, model) == ("api.openai.com", "gpt-4")


def test_a_model_is_a_name() -> None:
    """A model of another type is the caller's mistake."""
    with pytest.raises(InvalidRequest, match="of type int") as caught:
        ChatCompletion.create(5, messages=HELLO)  # type: ignore[call-overload]
    assert caught.value.param == "model"


async def test_mistakes_are_found_before_a_model_is_needed() -> None:
    """A malformed request is refused without a model, by the old name of the error."""
    with pytest.raises(deltaweir.error.InvalidRequestError):
        ChatCompletion.create("smollm2", messages=[])
    with pytest.raises(deltaweir.error.InvalidRequestError):
        await Completion.acreate("smollm2", prompt=[], stream=True)
