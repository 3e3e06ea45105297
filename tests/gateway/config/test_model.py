"""Models of the configuration: who answers, for which names, and what an upstream is asked."""

from __future__ import annotations

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import Config, ModelConfig, UpstreamConfig

OPENAI = UpstreamConfig(name="openai", base_url="https://api.openai.com/v1")


def model(name: str, sent: str | None = None) -> ModelConfig:
    """Return a model behind an upstream."""
    return ModelConfig(name=name, upstreams=("openai",), upstream_model=sent)


@pytest.mark.parametrize(
    ("name", "asked", "matches"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("openai/*", "openai/gpt-4o", True),
        ("openai/*", "openai/a/b", True),
        ("openai/*", "openai/", False),
        ("openai/*", "openai", False),
        ("gpt-*", "gpt-4o", True),
        ("*", "anything", True),
        ("*", "", False),
    ],
)
def test_which_names_mean_a_model(name: str, asked: str, *, matches: bool) -> None:
    """A star at the end stands for any rest but none."""
    assert model(name).matches(asked) is matches


@pytest.mark.parametrize(
    ("name", "sent", "asked", "wanted"),
    [
        ("fast", None, "fast", "fast"),
        ("fast", "gpt-4o-mini", "fast", "gpt-4o-mini"),
        ("openai/*", None, "openai/gpt-4o", "gpt-4o"),
        ("openai/*", None, "openai/a/b", "a/b"),
        ("openai/*", "gpt-4o", "openai/x", "gpt-4o"),
        ("openai/*", "ft:*:me", "openai/x", "ft:x:me"),
        ("gpt-*", None, "gpt-4o", "gpt-4o"),
        ("gpt-*", "azure-*", "gpt-4o", "azure-4o"),
        ("*", None, "owner/model", "owner/model"),
        ("*", "or/*", "owner/model", "or/owner/model"),
    ],
)
def test_what_an_upstream_is_asked_for(
    name: str, sent: str | None, asked: str, wanted: str
) -> None:
    """That is the name, without a prefix that only we know, or what the table says."""
    assert model(name, sent).sent_name(asked) == wanted


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a"}, "exactly one of embedded and upstreams, got neither"),
        ({"name": "a", "embedded": "b", "upstreams": ("c",)}, "got both"),
        ({"name": "", "embedded": "b"}, "name: got an empty text"),
        ({"name": "a*b", "upstreams": ("c",)}, "name: got 'a*b'"),
        ({"name": "a**", "upstreams": ("c",)}, "name: got 'a**'"),
        ({"name": "a/*", "embedded": "b"}, "an embedded model has one name"),
        ({"name": "a", "embedded": ""}, "embedded: got an empty text"),
        ({"name": "a", "embedded": "b", "upstream_model": "c"}, "an embedded model has none"),
        ({"name": "a", "upstreams": ("c", "c")}, "two upstreams are called 'c'"),
        ({"name": "a", "upstreams": ("c",), "upstream_model": ""}, "upstream_model: got an empty"),
        ({"name": "a", "upstreams": ("c",), "upstream_model": "*"}, "no *, as the name has none"),
        ({"name": "*", "upstreams": ("c",), "upstream_model": "**"}, "at most one *"),
    ],
)
def test_tables_that_tell_nothing(fields: dict[str, object], message: str) -> None:
    """What nobody could answer is refused."""
    with pytest.raises(InvalidRequest) as caught:
        ModelConfig(**fields)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"models": (model("a"),)}, "model 'a': no upstream is called 'openai'; the file has no"),
        (
            {"upstreams": (OPENAI,), "models": (ModelConfig(name="a", upstreams=("opanai",)),)},
            "model 'a': no upstream is called 'opanai'; did you mean openai?",
        ),
        ({"upstreams": (OPENAI,), "models": (model("a"), model("a"))}, "two models are called 'a'"),
        ({"upstreams": (OPENAI, OPENAI)}, "two upstreams are called 'openai'"),
    ],
)
def test_names_that_mean_nothing_or_two_things(
    config: dict[str, tuple[ModelConfig, ...]], message: str
) -> None:
    """A model's upstreams are known, and no name is there twice."""
    with pytest.raises(InvalidRequest) as caught:
        Config(**config)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_upstreams_may_call_a_model_by_names_of_their_own() -> None:
    """Each is asked for its own, and one that is not in the table for the client's."""
    names = {"openai": "gpt-4o", "azure": "deployed"}
    one = ModelConfig(name="big", upstreams=("openai", "azure", "other"), upstream_model=names)
    assert one.sent_name("big") == "gpt-4o"
    assert [one.sent_name("big", upstream) for upstream in one.upstreams] == [
        "gpt-4o",
        "deployed",
        "big",
    ]
    many = ModelConfig(name="b/*", upstreams=("azure",), upstream_model={"azure": "eu-*"})
    assert many.sent_name("b/gpt", "azure") == "eu-gpt"


def test_a_name_for_no_upstream_of_the_model_is_refused() -> None:
    """It would be a spelling mistake that nobody sees."""
    with pytest.raises(InvalidRequest, match="'azur' is none of the model's upstreams"):
        ModelConfig(name="big", upstreams=("azure",), upstream_model={"azur": "a"})
    with pytest.raises(InvalidRequest, match="got an empty"):
        ModelConfig(name="big", upstreams=("azure",), upstream_model={"azure": ""})
