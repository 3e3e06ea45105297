"""A chat template can neither reach Python nor run or grow for ever."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from deltaweir.models.sandbox import (
    BUDGET,
    Budget,
    OutOfBoundsError,
    TemplateRefusedError,
    compiled,
)


def render(template: str, *, steps: int = 100_000, **values: Any) -> str:
    """Render with a budget."""
    return compiled(template).render({**values, BUDGET: Budget(steps)})


def doubling(how: str) -> str:
    """Return a template that makes a text ever longer."""
    return (
        "{% set ns = namespace(x='aaaaaaaa') %}"
        f"{{% for i in range(99) %}}{{% set ns.x = {how} %}}{{% endfor %}}"
    )


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        doubling("ns.x ~ ns.x"),
        doubling("ns.x + ns.x"),
        doubling("ns.x | replace('a', 'aa')"),
        doubling("ns.x.replace('a', 'aa')"),
        doubling("[ns.x, ns.x] | join"),
        "{{ 'a' * 10**10 }}",
        "{{ 10**10 * 'a' }}",
        "{{ 10**10**10 }}",
        "{{ '%999999999s' % 'a' }}",
        "{% macro f() %}{{ 1 }}{% endmacro %}{% for a in range(99999) %}{{ f() }}{% endfor %}",
        "{% set x %}{% for a in range(9999) %}a long line of text{% endfor %}{% endset %}",
    ],
)
def test_no_template_runs_or_grows_beyond_its_budget(template: str) -> None:
    """Loops, operators, filters, calls and captured text all spend from it."""
    with pytest.raises(OutOfBoundsError):
        render(template)


@pytest.mark.parametrize(
    "template",
    ["{{ ().__class__.__bases__ }}", "{{ 'a'.ljust(9) }}", "{{ list.append(1) }}"],
)
def test_python_is_out_of_reach(template: str) -> None:
    """Attributes of Python, methods that pad, and those that change a value are refused."""
    with pytest.raises((jinja2.UndefinedError, jinja2.exceptions.SecurityError)):
        render(template, list=[])


@pytest.mark.parametrize("template", ["{{ 'a' | center(9) }}", "{{ 'a' | wordwrap(9) }}", "{% if"])
def test_what_only_pads_is_not_there(template: str) -> None:
    """Such filters are unknown, as in the engine."""
    with pytest.raises(jinja2.TemplateSyntaxError):
        render(template)


def test_what_chat_templates_use_is_there() -> None:
    """Arithmetic, loop variables, breaks, texts and lists work as in Jinja."""
    assert render("{{ 7 % 4 }}{{ 2 ** 3 }}{{ 2 * 3 }}{{ 'ab' * 2 }}{{ 'a' + 'b' ~ 1 }}") == (
        "386ababab1"
    )
    loop = "{% for a in list %}{{ loop.index }}{{ loop.last }}{{ a }}{% break %}{% endfor %}"
    assert render(loop, list=["x", "y"]) == "1Falsex"
    assert render("{{ 'a b'.split(' ') | length }}{{ ' x ' | trim }}") == "2x"
    assert render("a\n  {% if true %}\nb\n  {% endif %}\nc") == "a\nb\nc"


def test_json_is_written_as_the_engine_writes_it() -> None:
    """Nothing is escaped for HTML, numbers have six digits, and indents have a bound."""
    value = {"ü": ["<a>", 1.0, 0.25, 123456789.5, 1e-7, None, True, 3], "e": [], "n\n": {}}
    assert render("{{ v | tojson }}", v=value) == (
        '{"ü": ["<a>", 1, 0.25, 1.23457e+08, 1e-07, null, true, 3], "e": [], "n\\n": {}}'
    )
    assert render("{{ v | tojson(indent=2) }}", v={"a": [1, 2]}) == (
        '{\n  "a": [\n    1,\n    2\n  ]\n}'
    )
    assert render("{{ v | tojson(ensure_ascii=True, sort_keys=True) }}", v={"ü": 1, "a": 2}) == (
        '{"a": 2, "\\u00fc": 1}'
    )
    assert render("{{ v | tojson(separators=(',', ':')) }}{{ no | tojson }}", v=[1, 2]) == (
        "[1,2]null"
    )
    assert len(render("{{ [1] | tojson(indent=10**4) }}")) < 100
    assert render("{{ 'a\nb' | indent(2) }}") == "a\n  b"


def test_a_refusal_is_an_error_of_its_own() -> None:
    """Templates refuse messages by a function that Jinja does not have."""
    with pytest.raises(TemplateRefusedError, match="roles"):
        render("{{ raise_exception('roles') }}")
