"""``deltaweir serve``: the gateway."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaweir.cli import options
from deltaweir.cli.configured import configuration
from deltaweir.cli.show import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deltaweir.gateway.config.file import Config

_MOST_WORKERS = 256
_GATEWAYS_OWN = ("prometheus_client", "starlette", "uvicorn")
"""What the extra brings; another import that fails is another fault."""


def serve(
    model: options.Model = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen. Default: 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            "-p",
            metavar="N",
            min=0,
            max=65535,
            help="Which port; 0 takes any. Default: 8080.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-w",
            metavar="N",
            min=1,
            max=_MOST_WORKERS,
            help="How many processes answer; each can keep one core busy. Default: 1.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="A configuration. Default: deltaweir.toml, where there is one and no --model.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say what would be served; nothing is asked or opened."),
    ] = False,
) -> None:
    """Serve models to every OpenAI client.

    Examples:
      deltaweir serve
      deltaweir serve --model smollm2 --port 9000
      deltaweir serve --config deltaweir.toml --check
      deltaweir serve --config deltaweir.toml --workers 4

    A small deltaweir.toml:
      [[upstreams]]
      name = "openai"
      base_url = "https://api.openai.com/v1"
      api_key = "env:OPENAI_API_KEY"

      [[models]]
      name = "gpt-4o-mini"
      upstreams = ["openai"]
      guard = "standard"

    Point a client at it by its base_url, http://127.0.0.1:8080/v1; any api_key will do, unless
    the file says auth = "keys". Without [[models]] an upstream called openai serves all it has,
    as openai/NAME.

    Ctrl-C and SIGTERM let open streams end, for up to drain_s seconds; a second one does not
    wait. SIGHUP reads the file again: what runs goes on as it began, and a mistake in the file
    changes nothing. --check exits with 0 when the file is right, else with 2.
    """
    # heavy: only this command pays for it
    from deltaweir.cli.possible import exposed
    from deltaweir.errors import EngineMissing

    try:
        from deltaweir.gateway.log.json_lines import take_over_uvicorn
        from deltaweir.gateway.server.listening import bound
        from deltaweir.gateway.server.server import Server, settle
        from deltaweir.gateway.server.supervisor import Supervisor
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _GATEWAYS_OWN:
            raise
        raise EngineMissing(
            "the gateway is not installed: pip install 'deltaweir[local,gateway]'",
            code="gateway_missing",
        ) from error
    if model is None:
        config = configuration(config)
    given = {"host": host, "port": port, "workers": workers}
    read = functools.partial(
        _settings,
        config,
        model,
        **{name: value for name, value in given.items() if value is not None},
    )
    settings = _read(read, config)
    warning = exposed(settings)
    if check:
        _check(settings, config)
        if warning is not None:
            say(warning)
        return
    begin = functools.partial(log_to_stderr, as_json=settings.server.log == "json")
    begin()
    if warning is not None:
        logging.getLogger("deltaweir.gateway").warning("%s", warning)
    with _failures_logged(as_json=settings.server.log == "json"):
        if settings.server.workers > 1:
            _prepare(settings, load_here=False)
            supervisor = Supervisor(settings, reread=None if config is None else read, begin=begin)
            supervisor.on_started = lambda: say(_started(settings, supervisor.port))
            supervisor.run()
            return
        sockets = bound(settings.server.host, settings.server.port)
        _prepare(settings, load_here=True)
        server = Server(settings, reread=None if config is None else read)
        take_over_uvicorn()

        def started() -> None:
            settle()
            say(_started(settings, server.port))

        server.on_started = started
        server.run(sockets)


class _Said(logging.Handler):
    """Shows records as everything else is shown that is no answer."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        say(self.format(record))


def log_to_stderr(*, as_json: bool = False) -> None:
    """Show what the gateway has to say of itself on stderr; called in each of its processes.

    Lines on streams have a logger and a form of their own.

    Args:
        as_json: Whether all lines of the process, whoever writes them, are JSON objects.
    """
    if as_json:
        from deltaweir.gateway.log.json_lines import log_json

        log_json(sys.stderr)
        return
    log = logging.getLogger("deltaweir.gateway")
    if not any(isinstance(one, _Said) for one in log.handlers):
        handler = _Said()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)


@contextlib.contextmanager
def _failures_logged(*, as_json: bool) -> Iterator[None]:
    """Log why the server ends, instead of only saying so, where lines are JSON."""
    from deltaweir.errors import DeltaweirError
    from deltaweir.gateway.server.listening import AddressUnavailable

    try:
        try:
            yield
        except AddressUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
                said = f"{error.message}; --port takes another"
                raise AddressUnavailable(said, param=error.param) from cause
            raise
    except DeltaweirError as error:
        if not as_json:
            raise
        logging.getLogger("deltaweir.gateway").critical("%s", error)
        raise typer.Exit(1) from error


def _settings(path: Path | None, model: str | None, **given: Any) -> Config:
    """Return the configuration, what the command line says put over the file's."""
    from msgspec.structs import replace

    from deltaweir.cli.possible import check_embedded, refuse_impossible
    from deltaweir.gateway.config.file import embedded_config, load_config

    if model is not None and path is not None:
        raise typer.BadParameter("--model and --config exclude each other")
    if model is not None:
        check_embedded(model, hint="A provider's models stand in a file: serve --config FILE.")
    config = embedded_config(model) if path is None else load_config(path)
    refuse_impossible(config, path)
    return replace(config, server=replace(config.server, **given))


def _read(read: functools.partial[Config], file: Path | None) -> Config:
    """Return the settings; a mistake in them is wrong usage, exit code 2."""
    from deltaweir.errors import InvalidRequest, InvalidRule

    try:
        return read()
    except (InvalidRequest, InvalidRule) as error:
        if file is None:
            raise typer.BadParameter(error.message) from error
        # the command's help, which wrong usage points to, says nothing of the file's keys
        say(f"deltaweir: {error.message}")
        say("docs/gateway.md explains what can stand in the file.")
        raise typer.Exit(2) from error


def _check(settings: Config, path: Path | None) -> None:
    """Say what would be served.

    Raises:
        BadParameter: An embedded model is neither in the catalogue nor a file that is there, or
            nothing is installed that runs it; or a ledger's database refuses what is configured.
    """
    from importlib.util import find_spec

    from deltaweir.cli.possible import check_embedded, ledger_notes
    from deltaweir.cli.served import served
    from deltaweir.errors import InvalidRequest
    from deltaweir.gateway.server.loopback import embedded_in

    for name in embedded_in(settings):
        try:
            check_embedded(name)
        except InvalidRequest as error:
            raise typer.BadParameter(error.message) from error
        if find_spec("xllamacpp") is None:
            raise typer.BadParameter(
                f"what runs the embedded model {name} is not installed: "
                "pip install 'deltaweir[local,gateway]'"
            )
    keys_there = settings.server.auth == "keys" and not settings.store.shared
    try:
        note = ledger_notes(settings.ledger, has_keys=keys_there)
    except InvalidRequest as error:
        raise typer.BadParameter(error.message) from error
    typer.echo(f"{path.absolute() if path else 'the configuration'} is right. It would serve")
    typer.echo(served(settings))
    if settings.store.shared:
        typer.echo(f"keys, limits and streams are shared in {settings.store.address.shown}")
    elif keys_there and settings.ledger.remote:
        typer.echo(f"keys and limits are shared in {settings.ledger.shown}")
    if note is not None:
        say(note)


def _prepare(settings: Config, *, load_here: bool) -> None:
    """Download and load the embedded models now, so that the first client need not wait."""
    from deltaweir.gateway.server.loopback import embedded_in

    names = embedded_in(settings)
    if not names:
        return
    from deltaweir.cli.ask import announce
    from deltaweir.client.embedded import weights_of
    from deltaweir.sources.local.answer import load

    asked = [one.moderation.host for one in settings.guards.values() if one.moderation]
    for name in names:
        announce(name, read_by=" and ".join(sorted({*asked})))
        if load_here:
            load(weights_of(name))


def _started(settings: Config, port: int) -> str:
    from deltaweir.cli.served import address

    names = ", ".join(one.name for one in settings.models)
    workers = settings.server.workers
    with_workers = f" with {workers} workers" if workers > 1 else ""
    where = address(settings.server.host, port)
    said = f"serving {names} at {where}{with_workers}"
    if settings.server.page and settings.server.log != "json":  # there a line is a record
        said += f"\nopen {where.removesuffix('v1')} in a browser to chat and to watch"
    return said
