"""The files of ``deploy/``: what they promise holds in them, and they agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ServerConfig,
    StoreConfig,
    load_config,
)
from deltaweir.gateway.metrics.families import FAMILIES
from deltaweir.gateway.server.supervisor import GRACE_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KNOWN = {
    *("build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image"),
    *("networks", "ports", "read_only", "restart", "security_opt", "stop_grace_period"),
    *("stop_signal", "tmpfs", "ulimits", "user", "volumes"),
}
"""Keys of a service by the Compose specification, as far as they are used."""
GATEWAYS = {"gateway-a", "gateway-b"}
PAGES = ROOT / "docs" / "scaling.md", ROOT / "docs" / "resume.md", DEPLOY / "README.md"
SECRET = re.compile(r"\$\{(\w+):\?[^}]+\}")


@pytest.fixture(name="composed", scope="module")
def composed_fixture() -> dict[str, Any]:
    """Return the composition."""
    found: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return found


@pytest.fixture(name="config")
def config_fixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
    """Return the gateways' configuration, with the folder of its queue elsewhere."""
    for name in named_secrets():
        monkeypatch.setenv(name, "a1b2c3")
    path = tmp_path / "deltaweir.toml"
    path.write_text(text("deltaweir.toml").replace("/var/lib/deltaweir", str(tmp_path)))
    return load_config(path)


def text(name: str) -> str:
    """Return what stands in a file."""
    return (DEPLOY / name).read_text("utf-8")


def named_secrets() -> set[str]:
    """Return the variables that are to be filled in."""
    return set(re.findall(r"^(\w+)=$", text("env.example"), re.MULTILINE))


def seconds(duration: str) -> float:
    """Return a duration as Compose, nginx and HAProxy write them."""
    found = re.fullmatch(r"(\d+)(ms|s|m|h)", duration)
    assert found, duration
    return int(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2]]


def setting(name: str, file: str) -> float:
    """Return the seconds of a timeout of a balancer."""
    found = re.search(rf"^ *{name} (\w+);?$", text(file), re.MULTILINE)
    assert found, name
    return seconds(found[1])


def test_services_use_known_keys(composed: dict[str, Any]) -> None:
    """Nothing stands there that no version of Compose knows, and what is named is declared."""
    shown = {key for key in composed if not key.startswith("x-")}
    assert shown == {"name", "services", "networks", "volumes"}
    for service in composed["services"].values():
        assert service.keys() <= KNOWN
        assert {*service["networks"]} <= composed["networks"].keys()
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            known = (DEPLOY / source).is_file() if "/" in source else source in composed["volumes"]
            assert known, volume


def test_services_wait_for_those_that_can_tell(composed: dict[str, Any]) -> None:
    """Each has a health check, and is waited for until it says that all is well."""
    services = composed["services"]
    for service in services.values():
        check = service["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert seconds(check["timeout"]) <= seconds(check["interval"])
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            assert how == {"condition": "service_healthy"}
    compile(services["gateway-a"]["healthcheck"]["test"][3], "healthcheck", "exec")


def test_services_are_shut_in(composed: dict[str, Any]) -> None:
    """None is root, none writes but where it must, and one alone is seen from outside."""
    for name, service in composed["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert ("ports" in service) == (name == "balancer")
        own = name in GATEWAYS | {"balancer"}  # whose images say it themselves
        assert own or service["user"] not in {"root", "0"}
    (published,) = composed["services"]["balancer"]["ports"]
    assert published.startswith("127.0.0.1:")
    assert composed["networks"]["back"]["internal"] is True
    users = re.findall(r"^USER (\S+)$", text("Dockerfile"), re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}


def test_images_have_versions(composed: dict[str, Any]) -> None:
    """None is whatever is newest; the gateway's is this one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    based = re.findall(r"^FROM (\S+)", text("Dockerfile"), re.MULTILINE)
    for image in (*based, *(one["image"] for one in composed["services"].values())):
        assert re.fullmatch(r"[\w./-]+:\d[\w.-]*", image), image
    for name in GATEWAYS:
        assert composed["services"][name]["image"] == f"deltaweir:{project['version']}"
    extras = re.search(r"'\.\[([\w,]+)\]'", text("Dockerfile"))
    assert extras
    assert {*extras[1].split(",")} <= project["optional-dependencies"].keys()


def test_secrets_come_from_outside(composed: dict[str, Any]) -> None:
    """Each is asked for where it is missing, and stands in no file."""
    asked = set()
    for service in composed["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "KEY" in name:
                found = SECRET.fullmatch(value)
                assert found, name
                asked.add(found[1])
    assert asked == named_secrets()
    used = {*re.findall(r'"env:(\w+)"', text("deltaweir.toml"))}
    assert used == composed["services"]["gateway-a"]["environment"].keys()


def test_nobody_is_killed_while_it_drains(composed: dict[str, Any], config: Config) -> None:
    """A gateway has the time that it gives its streams, and a balancer as much."""
    for name in GATEWAYS | {"balancer"}:
        grace = seconds(composed["services"][name]["stop_grace_period"])
        assert grace > config.server.drain_s + GRACE_S


def test_timeouts_outlast_what_is_silent(config: Config) -> None:
    """Heartbeats come sooner than any timeout; whole replies and slow readers have their time."""
    slow, heartbeat = config.server.slow_reader_s, config.server.heartbeat_s
    whole = 600  # what an upstream has for a whole reply, unless told
    for name, file, least in (
        ("timeout client", "haproxy.cfg", slow),
        ("timeout server", "haproxy.cfg", whole),
        ("hard-stop-after", "haproxy.cfg", config.server.drain_s),
        ("send_timeout", "nginx.conf", slow),
        ("proxy_read_timeout", "nginx.conf", whole),
        ("worker_shutdown_timeout", "nginx.conf", config.server.drain_s),
    ):
        assert setting(name, file) > max(least, heartbeat)


def test_balancers_name_the_gateways(config: Config) -> None:
    """By the services' names, and the port of the configuration."""
    for file in ("haproxy.cfg", "nginx.conf"):
        found = set(re.findall(r"^ *server .*?(gateway-\w):(\d+)", text(file), re.MULTILINE))
        assert found == {(name, str(config.server.port)) for name in GATEWAYS}
    assert config.server.host == "0.0.0.0"  # noqa: S104  # in its container
    assert config.server.auth == "keys"
    assert config.store.shared
    assert config.ledger.remote


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each file that a page links to is there, and each heading."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        other = (page.parent / name) if name else page
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", other.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w]+", "-", one.lower()).strip("-") for one in headings}


def test_the_page_on_growing_names_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables load, its metrics exist, and its settings are keys of the configuration."""
    page = PAGES[0].read_text("utf-8")
    metrics = {
        re.sub(r"_(bucket|sum|count|total)$", "", name)
        for name in re.findall(r"deltaweir_([a-z_]+)", page)
    }
    assert metrics <= FAMILIES.keys()
    for name in named_secrets():
        monkeypatch.setenv(name, "a1b2c3")
    for number, table in enumerate(
        re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ):
        path = tmp_path / f"{number}.toml"
        path.write_text(f'{table}\n[[upstreams]]\nname = "openai"\nbase_url = "http://u/v1"\n')
        assert load_config(path).upstreams
    keys: set[str] = set()
    for struct in (ServerConfig, StoreConfig, LedgerConfig):
        keys |= {field.name for field in msgspec.structs.fields(struct)}
    settings = page[page.index("## The settings") :]
    cells = "".join(re.findall(r"^\|[^|]*\|([^|]*)\|", settings, re.MULTILINE))
    assert {*re.findall(r"`(\w+)`", cells)} <= keys
