"""``deltaweir serve``: the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deltaweir.cli import options
from deltaweir.cli.show import say


def serve(
    model: options.Model = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="Where to listen: 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", "-p", metavar="N", min=0, max=65535, help="Which port: 8080; 0 takes any."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="A configuration, such as deltaweir.toml."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the configuration is right.")
    ] = False,
) -> None:
    """Serve models to every OpenAI client.

    Examples:
      deltaweir serve
      deltaweir serve --model smollm2 --port 9000
      deltaweir serve --config deltaweir.toml --check

    Point a client at it by its base_url, http://127.0.0.1:8080/v1; any api_key will do. Ctrl-C
    and SIGTERM let open streams end, for up to drain_s seconds.
    """
    # heavy: only this command pays for it
    from deltaweir.errors import EngineMissing

    try:
        from deltaweir.gateway.server import Server
    except ImportError as error:
        raise EngineMissing(
            "the gateway is not installed: pip install 'deltaweir[local,gateway]'",
            code="gateway_missing",
        ) from error
    settings = _settings(config, model=model, host=host, port=port)
    if check:
        say(f"{config or 'the configuration'} is right")
        return
    _prepare(settings)
    server = Server(settings)
    server.on_started = lambda: say(
        f"serving {', '.join(one.name for one in settings.models)} "
        f"at http://{_shown(settings.server.host)}:{server.port}/v1"
    )
    server.run()


def _settings(path: Path | None, *, model: str | None, host: str | None, port: int | None) -> Any:
    """Return the configuration, what the command line says put over the file's."""
    from msgspec.structs import replace

    from deltaweir.gateway.config import embedded_config, load_config

    config = embedded_config(model) if path is None else load_config(path)
    if model is not None and path is not None:
        raise typer.BadParameter("--model and --config exclude each other")
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return replace(config, server=replace(config.server, **given))


def _prepare(settings: Any) -> None:
    """Download and load the models now, so that the first client need not wait."""
    from deltaweir.cli.ask import announce
    from deltaweir.client.embedded import weights_of
    from deltaweir.sources.local.answer import load

    asked = [one.moderation.host for one in settings.guards.values() if one.moderation]
    for model in settings.models:
        announce(model.embedded, read_by=" and ".join(sorted({*asked})))
        load(weights_of(model.embedded))


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
