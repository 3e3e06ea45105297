"""A bounded Jinja environment for chat templates: the only module that imports jinja2.

A template comes with the weights, so it is nobody's we know. Jinja's own sandbox keeps it from
attributes of Python and from changing what it is given; it does not keep it from running or
growing for ever. Here every rendering has a budget, spent by each turn of a loop, each call,
and each character that an operator, a call or the output makes. What only pads texts, which no
chat template needs, is not there.

The budget is kept in the rendering's context under a name that no template can spell.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

BUDGET = "the budget"
"""Where a rendering's context keeps its budget; the blank keeps templates from naming it."""

_NO_FILTERS = frozenset(
    ("batch", "center", "format", "pprint", "random", "slice", "urlize", "wordwrap", "xmlattr")
)
_NO_METHODS = frozenset(
    ("center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill", "translate")
)
_WIDEST = 64  # blanks of an indent


class OutOfBoundsError(Exception):
    """A template ran, or grew, beyond its budget."""


class TemplateRefusedError(Exception):
    """A template called ``raise_exception``."""


class Budget:
    """Count down what one rendering may still do.

    Args:
        steps: Turns of loops, calls and made characters, in all.
    """

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Take steps away.

        Raises:
            OutOfBoundsError: There are not as many left.
        """
        self._left -= steps
        if self._left < 0:
            raise OutOfBoundsError

    def spend_on(self, value: Any) -> None:
        """Take a value's length away, when it is a text, or a list and its texts."""
        if isinstance(value, str):
            self.spend(len(value))
        elif isinstance(value, list | tuple):
            self.spend(len(value) + sum(len(one) for one in value if isinstance(one, str)))


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Compile templates that can only be rendered with a `Budget` in their context."""

    intercepted_binops = frozenset(("%", "*", "**", "+"))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        # listed before anything is put in, so that nothing is charged for twice
        filters, outputs = [*tree.find_all(nodes.Filter)], [*tree.find_all(nodes.Output)]
        loops = [*tree.find_all(nodes.For)]
        spoken: list[nodes.Concat | nodes.Output] = [*tree.find_all(nodes.Concat), *outputs]
        for piped in filters:
            if piped.node is not None:
                piped.node = _filtered(piped.node, "paid for")
        for speech in spoken:
            speech.nodes = [
                part if isinstance(part, nodes.TemplateData) else _filtered(part, "paid for")
                for part in speech.nodes
            ]
        for loop in loops:
            plain = sum(len(part.data) for part in loop.find_all(nodes.TemplateData))
            loop.iter = _filtered(loop.iter, "turn by turn", nodes.Const(1 + plain))
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Say whether a template may read an attribute."""
        if isinstance(obj, str) and attr in _NO_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator that can make values of any size."""
        budget = _budget(context)
        if operator in ("%", "**") and not _are_small(left, right):
            raise OutOfBoundsError
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str | list | tuple) and isinstance(other, int):
                    budget.spend(len(one) * max(other, 0))
        else:
            budget.spend_on(left)
            budget.spend_on(right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls."""
        budget = _budget(context)
        budget.spend(1)
        made = super().call(context, function, *args, **kwargs)
        budget.spend_on(made)
        return made


def _are_small(*numbers: Any) -> bool:
    return all(isinstance(number, int | float) and abs(number) < 1 << 16 for number in numbers)


def _filtered(expression: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    of = cast("nodes.Expr", expression)
    return nodes.Filter(of, name, [*arguments], [], None, None, lineno=of.lineno)


def _budget(context: Context) -> Budget:
    budget: Budget = context[BUDGET]
    return budget


@jinja2.pass_context
def _turn_by_turn(context: Context, items: Iterable[Any], cost: int) -> Iterator[Any]:
    budget = _budget(context)
    for item in items:
        budget.spend(cost)
        yield item


@jinja2.pass_context
def _paid_for(context: Context, value: Any) -> Any:
    _budget(context).spend_on(value)
    return value


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT002  templates give it by position
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT002  as above
) -> str:
    """Write JSON as the engine's filter does: nothing escaped for HTML, short numbers."""
    between, after_key = separators or (", " if indent is None else ",", ": ")
    width = None if indent is None else min(int(indent), _WIDEST)

    def listed(items: list[str], ends: str, level: int) -> str:
        if not items or width is None:
            return f"{ends[0]}{between.join(items)}{ends[1]}"
        line = "\n" + " " * (width * level)
        inner = line + " " * width
        return f"{ends[0]}{inner}{(between + inner).join(items)}{line}{ends[1]}"

    def written(one: Any, level: int) -> str:
        if isinstance(one, float):
            return f"{one:g}"  # six digits, as C++ streams write unless told
        if isinstance(one, Mapping):
            pairs = sorted(one.items()) if sort_keys else one.items()
            items = [
                f"{json.dumps(str(key), ensure_ascii=ensure_ascii)}{after_key}"
                f"{written(value, level + 1)}"
                for key, value in pairs
            ]
            return listed(items, "{}", level)
        if isinstance(one, list | tuple):
            return listed([written(value, level + 1) for value in one], "[]", level)
        if isinstance(one, jinja2.Undefined):
            return "null"
        return json.dumps(one, ensure_ascii=ensure_ascii)

    return written(value, 0)


def _indent(text: str, width: int = 4, *more: Any, **named: Any) -> str:
    made: str = jinja2.filters.do_indent(text, min(int(width), _WIDEST), *more, **named)
    return made


def _raise_exception(message: str) -> None:
    raise TemplateRefusedError(message)


@functools.lru_cache(maxsize=8)
def compiled(source: str) -> jinja2.Template:
    """Return a chat template, ready to be rendered with a `Budget` under `BUDGET`.

    Blocks are trimmed as everywhere in chat templates: the line break behind a block and the
    blanks before it do not show.

    Raises:
        jinja2.TemplateSyntaxError: It is no Jinja template.
    """
    environment = BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    for name in _NO_FILTERS:
        del environment.filters[name]
    filters: Final = {
        "turn by turn": _turn_by_turn,
        "paid for": _paid_for,
        "tojson": _to_json,
        "indent": _indent,
    }
    environment.filters.update(filters)
    del environment.globals["lipsum"]
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(source)
