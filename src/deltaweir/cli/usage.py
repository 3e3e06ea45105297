"""``deltaweir usage``: what was used, by day, model, key, user or tag."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltaweir.cli.configured import ledger_of, store_of
from deltaweir.cli.help import heading
from deltaweir.cli.show import dollars, has_colours, say
from deltaweir.cli.usage_names import names_of_keys, shown_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deltaweir.gateway.config.ledger import LedgerConfig
    from deltaweir.usage_report import Group, Line

BAR_COLUMNS = 20
_LEAST_BAR_COLUMNS = 6
_GAP = "  "
_FAILED = "failed"
_TITLES = ("streams", _FAILED, "prompt", "completion", "cost ")
_FIGURES = ("streams", "prompt_tokens", "completion_tokens", "cost_usd", _FAILED)


def usage(
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="NAMES",
            help="How to group: any of day, hour, minute, model, upstream, key, user, tag, with "
            "commas between. The columns stand in the order of the names.",
        ),
    ] = "day,model",
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="From this day or time on, in UTC; or for so long: 7d and 4w begin with a whole "
            "day, 12h with a whole hour, 90m with a whole minute.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="Up to but without this day or time."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The gateway's configuration. Default: deltaweir.toml, where there is one.",
        ),
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            "--ledger",
            metavar="URL",
            help="The ledger itself: a path, sqlite:///PATH, postgresql://..., or env:NAME.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON, as GET /v1/usage answers.")
    ] = False,
) -> None:
    """Show what went through the gateway: streams, tokens and money.

    Examples:
      deltaweir usage
      deltaweir usage --by user --since 2026-11-01
      deltaweir usage --by hour,upstream --since 24h
      deltaweir usage --by day,model,tag --csv > usage.csv

    It reads the ledger of deltaweir.toml, which is deltaweir.db beside that file unless it says
    otherwise, or the one that --config or --ledger names; a running server need not stop. Prompt
    and completion are tokens; failed counts the streams that failed, and is left out where none
    did. Keys go by their names, where the ledger has them. A cost of ? means that no price is
    known, and + behind a sum that some of its streams had none. The bars compare the costs, or
    the tokens where all was free.
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other")
    groups, window = _asked(by, since, until)
    # heavy: only this command pays for it
    from deltaweir.gateway.ledger.reading import reading
    from deltaweir.usage_report import report

    where = _ledger(config, ledger)
    with reading(where) as store:
        lines = store.usage(group_by=groups, since=window[0], until=window[1])
    if as_json:
        typer.echo(json.dumps(report(lines, _names(groups, where, config))))
        return
    lines = sorted(lines, key=lambda line: [_place(getattr(line, group)) for group in groups])
    if as_csv:
        _csv(groups, lines, _names(groups, where, config))
    elif lines:
        _table(groups, lines, shown_names(_names(groups, where, config)))
    else:
        say("Nothing was used in this time.")


def _asked(
    by: str, since: str | None, until: str | None
) -> tuple[tuple[Group, ...], tuple[float | None, float | None]]:
    """Return the groups as they were asked for, and the time from and until which to report."""
    from deltaweir.errors import InvalidRequest
    from deltaweir.usage_report import grouping, moment_of

    try:
        names = [name.strip() for name in by.split(",") if name.strip()]
        groups = tuple(sorted(grouping(names), key=names.index))
        now = time.time()
        window = (
            moment_of(since, param="--since", now=now),
            moment_of(until, param="--until", now=now),
        )
    except InvalidRequest as error:
        raise typer.BadParameter(error.message.replace("group_by", "--by")) from error
    return groups, window


def _place(name: str | None) -> tuple[bool, str]:
    return name is not None, name or ""


def _ledger(config: Path | None, ledger: str | None) -> LedgerConfig:
    from deltaweir.errors import InvalidRequest
    from deltaweir.gateway.config.ledger import LedgerConfig

    if config is not None and ledger is not None:
        raise typer.BadParameter("--config and --ledger exclude each other")
    if ledger is None:
        found = ledger_of(config)
    elif "://" in ledger or ledger.startswith("env:"):
        found = LedgerConfig(url=ledger)
    else:
        found = LedgerConfig(url=f"sqlite:///{ledger}")
    if found.address and not found.remote and not Path(found.shown).exists():
        raise InvalidRequest(
            f"there is no ledger at {found.shown}; `deltaweir serve` keeps it beside its "
            "configuration, and --config or --ledger names another",
            param="ledger.url",
        )
    return found


def _names(groups: Sequence[str], ledger: LedgerConfig, config: Path | None) -> dict[str, str]:
    return names_of_keys(ledger, store_of(config)) if "key" in groups else {}


def _csv(groups: Sequence[str], lines: Sequence[Line], keys: Mapping[str, str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    named = "key" in groups
    writer.writerow([*groups, *_FIGURES, *(["key_name"] if named else [])])
    for line in lines:
        values = [getattr(line, name) for name in (*groups, *_FIGURES)]
        if named:
            values.append(keys.get(line.key or ""))
        writer.writerow([_cell(value) for value in values])


def _cell(value: object) -> object:
    # text from requests must not become a formula of a spreadsheet
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def _table(groups: Sequence[str], lines: Sequence[Line], keys: Mapping[str, str]) -> None:
    """Write a line in one row; in two where the terminal is too narrow for that.

    Through a pipe each is one row, however long, so that ``grep`` finds it whole.
    """
    from deltaweir.usage_report import total

    shown = [name for name in groups if any(getattr(line, name) for line in lines)]
    names = [shown, *([_called(line, name, keys) for name in shown] for line in lines)]
    figures = [[*_TITLES], *map(_figures, lines)]
    if len(lines) > 1:
        names.append(["in all", *[""] * len(shown)][: len(shown)])
        figures.append(_figures(total(lines)))
    if not any(line.failed for line in lines):  # a column less, which is most of the time
        for one in figures:
            del one[_TITLES.index(_FAILED)]
    left, right = _aligned(names, to_right=False), _aligned(figures, to_right=True)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    if shown and _width(left) + len(_GAP) + _width(right) > columns:
        rows = [f"{_GAP}{row}" for row in right]
        above = left
    else:
        rows = [
            f"{name}{_GAP}{row}" if shown else row for name, row in zip(left, right, strict=True)
        ]
        above = [""] * len(rows)
    bars = ["", *_bars(lines, room=columns - _width(rows) - len(_GAP)), ""]
    for number, row in enumerate(rows):
        strong = number in {0, len(lines) + 1}  # the titles, and the sum
        if above[number].strip():
            typer.echo(_emphasised(above[number].rstrip(), strong=strong))
        bar = f"{_GAP}{_coloured(bars[number])}" if bars[number] else ""
        typer.echo(_emphasised(row if bar else row.rstrip(), strong=strong) + bar)


def _called(line: Line, group: str, keys: Mapping[str, str]) -> str:
    name: str = getattr(line, group) or "-"
    return _printable(keys.get(name, name) if group == "key" else name)


def _emphasised(row: str, *, strong: bool) -> str:
    return heading(row) if strong else row


def _coloured(bar: str) -> str:
    """Give a bar its colour; ``typer.echo`` takes that out where it is not for a terminal."""
    return typer.style(bar, fg="cyan") if has_colours() else bar


def _printable(text: str) -> str:
    """Return a name without what would move a terminal's cursor; it comes from requests."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _aligned(rows: Sequence[Sequence[str]], *, to_right: bool) -> list[str]:
    """Return each row as one text, with its cells below those of the row above."""
    from rich.cells import cell_len  # knows which letters are two columns wide

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]

    def padded(cell: str, width: int) -> str:
        space = " " * (width - cell_len(cell))
        return space + cell if to_right else cell + space

    return [_GAP.join(map(padded, row, widths)) for row in rows]


def _width(rows: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, rows))


def _bars(lines: Sequence[Line], *, room: int) -> list[str]:
    """Return a bar a line: of money where there is any, else of tokens."""
    columns = min(room, BAR_COLUMNS)
    sizes = _sizes(lines)
    most = max(sizes)
    if columns < _LEAST_BAR_COLUMNS or not most or len(lines) == 1:
        return [""] * len(lines)
    return [_bar(size / most, columns) for size in sizes]


def _sizes(lines: Sequence[Line]) -> list[int]:
    costs = [line.cost_pico or 0 for line in lines]
    if any(costs):
        return costs
    return [line.prompt_tokens + line.completion_tokens for line in lines]


def _figures(line: Line) -> list[str]:
    cost = "?" if line.cost_usd is None else dollars(line.cost_usd)
    # without a + there is a blank, so that the digits stand below each other
    cost += "+" if line.cost_usd is not None and line.unpriced else " "
    counts = (line.streams, line.failed, line.prompt_tokens, line.completion_tokens)
    return [*(f"{count:,}" for count in counts), cost]


def _bar(share: float, columns: int) -> str:
    """Return a bar in eighths of a column, or in whole ones where stdout has no such letters."""
    try:
        "\u2588\u258f".encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return "#" * round(share * columns)
    eighths = round(share * columns * 8)
    if share and not eighths:
        eighths = 1  # something was used
    part = "" if eighths % 8 == 0 else chr(0x2590 - eighths % 8)
    return "\u2588" * (eighths // 8) + part
