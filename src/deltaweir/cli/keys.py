"""``deltaweir keys``: who may use the gateway, and how much."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltaweir.cli.configured import DEFAULT, configuration, ledger_of, store_of
from deltaweir.cli.help import Command, Group, help_when_alone
from deltaweir.cli.key_notes import doubts, kept_in, kept_in_store
from deltaweir.cli.key_rows import TITLES, as_dict, cells, limits, moment, table
from deltaweir.cli.show import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deltaweir.allowances import KeyTerms
    from deltaweir.stores.books import KeyStore

app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The gateway's configuration. Default: deltaweir.toml, where there is one.",
    ),
]


@app.callback()
def keys(context: typer.Context) -> None:
    """Make, list and revoke the keys of the gateway's clients.

    Examples:
      deltaweir keys create --name alice --budget 100000tok/day --rpm 60
      deltaweir keys list
      deltaweir keys revoke 4f1c09ab27de

    A server whose configuration says auth = "keys" under [server] lets in only who sends a
    key, as api_key. Keys are kept in its ledger, or in its store where machines share one,
    without their secrets; a running server knows within a second what is changed here.
    """
    help_when_alone(context)


@app.command(cls=Command)
def create(
    name: Annotated[
        str, typer.Option("--name", "-n", metavar="NAME", help="Who or what it is for.")
    ],
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="AMOUNT",
            help="400tok, 400tok/day, 5usd/month; several with commas between.",
        ),
    ] = None,
    rpm: Annotated[
        int | None, typer.Option("--rpm", metavar="N", help="Requests a minute.")
    ] = None,
    tpm: Annotated[
        int | None,
        typer.Option("--tpm", metavar="N", help="Tokens a minute, of prompts and answers."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models", metavar="NAMES", help="Only these: gpt-4o,openai/*. Default: all."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="30d, 12h, 4w, or a date in UTC."),
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="It may see the usage of all keys, and /metrics.")
    ] = False,
    may_record: Annotated[
        bool, typer.Option("--may-record", help="It may record streams, and play recordings.")
    ] = False,
    config: Config = None,
) -> None:
    """Make a key, and print it: this is the only time that it is shown.

    Examples:
      deltaweir keys create --name alice
      deltaweir keys create --name ci --budget 2usd/month --models gpt-4o-mini
      KEY=$(deltaweir keys create --name demo --budget 400tok --expires 30d)

    Budgets count prompts and answers: for the key's life, for each day or for each month, in
    UTC. However many requests run at once, a stream
    ends where one is reached, and new requests get the status 429. Only the key goes to stdout.
    """
    from deltaweir import allowances
    from deltaweir.errors import InvalidRequest

    now = time.time()
    try:
        called = allowances.name_of(name)
        terms = allowances.KeyTerms(
            models=allowances.models_of(models or ()),
            rpm=allowances.a_minute(rpm, param="rpm"),
            tpm=allowances.a_minute(tpm, param="tpm"),
            quotas=allowances.quotas_of(budget or ()),
            expires=allowances.expiry_of(expires, now),
            admin=admin,
            may_record=may_record,
        )
    except InvalidRequest as error:
        hint = f"--{error.param}" if error.param else None
        raise typer.BadParameter(error.message, param_hint=hint) from error
    where = _place(config)
    key = _kept(called, terms, config, now)
    typer.echo(key)
    said = "; ".join(limits(terms)) or "no limits"
    say(f"{called}: {said}, {where}")
    say(
        "It is not shown again. Clients send it as their api_key; "
        f"`deltaweir keys revoke {key[3:15]}` ends it."
    )
    for line in doubts(terms.models, config):
        say(line)


def _place(config: Path | None) -> str:
    """Return where a key is about to be kept."""
    store = store_of(config)
    if store.shared:
        return kept_in_store(store.address.shown, store.prefix)
    ledger = ledger_of(config)
    new = not (ledger.remote or Path(ledger.shown).exists())
    return kept_in(ledger.shown, config, new=new)


def _kept(name: str, terms: KeyTerms, config: Path | None, now: float) -> str:
    """Return a new key, once it is on disk."""
    import secrets

    from deltaweir.allowances import KeyRecord, digest_of

    key_id = secrets.token_hex(6)
    key = f"dw-{key_id}-{secrets.token_urlsafe(32)}"
    digest = digest_of(key.encode())
    with _store(config, create=True) as store:
        store.create(KeyRecord(id=key_id, digest=digest, name=name, terms=terms, created=now))
    return key


@app.command("list", cls=Command)
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    config: Config = None,
) -> None:
    """List the keys, with what is used of each budget so far.

    Examples:
      deltaweir keys list
      deltaweir keys list --json --config deltaweir.toml

    What running streams have not told yet, a second's worth, is not in it. Through a pipe
    cells have tabs between, below a line with their titles; programs are better off with --json.
    """
    now = time.time()
    with _store(config) as store:
        rows = [
            (record, store.spent(record.id, record.terms.quotas, now)) for record in store.records()
        ]
    if as_json:
        typer.echo(json.dumps([as_dict(*row, now=now) for row in rows], indent=2))
    elif not rows:
        say("There are no keys yet; `deltaweir keys create --name NAME` makes one.")
    elif sys.stdout.isatty():
        table([cells(*row, now=now, part="\n") for row in rows])
    else:
        typer.echo("\t".join(TITLES))
        for row in rows:
            typer.echo("\t".join(cells(*row, now=now, part=", ")))


@app.command(cls=Command)
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY|ID", help="A key, or the id that it has.")],
    config: Config = None,
) -> None:
    """Revoke a key: within a second it is refused, and its running streams end.

    Examples:
      deltaweir keys revoke 4f1c09ab27de
    """
    from deltaweir.allowances import KEY, KEY_ID

    given = key.strip()
    found = KEY.fullmatch(given)
    if found is None and KEY_ID.fullmatch(given) is None:
        _tell_names(given, config)
        raise typer.BadParameter(  # not what was given: it may be a key with a slip of the pen
            "this is neither a key, which begins with dw-, nor an id of 12 characters such as "
            "4f1c09ab27de; `deltaweir keys list` shows the ids"
        )
    now = time.time()
    with _store(config) as store:
        record = store.revoke(given if found is None else found["id"], now)
    what = "is revoked" if record.revoked == now else "was revoked already"
    say(f"{record.name} ({record.id}) {what}, at {moment(record.revoked)}")


def _tell_names(given: str, config: Path | None) -> None:
    """Refuse a name by telling its ids, since only names that are kept are no secrets."""
    from deltaweir.errors import DeltaweirError

    try:
        with _store(config) as store:
            ids = [one.id for one in store.records() if one.name == given and not one.revoked]
    except DeltaweirError:
        return
    if ids:
        its = "its id is" if len(ids) == 1 else "its ids are"
        raise typer.BadParameter(f"{given!r} is a name; {its} {', '.join(ids)}")


@contextlib.contextmanager
def _store(config: Path | None, *, create: bool = False) -> Iterator[KeyStore]:
    """Open the store of a configuration, or without one its ledger."""
    # heavy: only these commands pay for it
    from deltaweir.errors import InvalidRequest
    from deltaweir.gateway.config.file import ledger_path
    from deltaweir.gateway.keys.places import are_shared, key_store

    shared, url = store_of(config), ledger_of(config).address
    if are_shared(url, shared):
        with contextlib.closing(key_store(url, shared, begin=create)) as there:
            yield there
        return
    if not url:
        raise InvalidRequest(
            "keys need a ledger, and this configuration keeps none: set [ledger] url"
        )
    path = Path(ledger_path(url))
    if not create and not path.exists():
        where = f"there is no ledger at {path.absolute()}"
        if configuration(config) is None:
            where = f"there is no {DEFAULT} and no {path} in {Path.cwd()}"
        raise InvalidRequest(
            f"{where}; --config FILE names the server's configuration, and "
            "`deltaweir keys create --name NAME` makes a ledger",
        )
    with contextlib.closing(key_store(url)) as store:
        yield store
