"""What streams come to is shown exactly, for one worker or many, and names nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from deltaweir.gateway.metrics.cells import MOST, SEGMENT, SharedCells
from deltaweir.gateway.metrics.families import FAMILIES, NANO, PREFIX
from deltaweir.gateway.metrics.metrics import DIRECTORY, LONGEST_LABEL, MOST_PAIRS, OTHER, Metrics
from deltaweir.gateway.metrics.summary import Summary

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

ENDED = Summary(
    stream_id="stm_5ec1",
    request_id="req_5ec2",
    model="gpt-4o",
    upstream="openai",
    attempts=1,
    key_id="key_5ec3",
    user="user_5ec4",
    endpoint="chat",
    streamed=True,
    ending="complete",
    status=200,
    stopped_by=None,
    finish_reason="finish_5ec5",
    prompt_tokens=39,
    completion_tokens=24,
    cost_pico=1_200_000_000,
    source="provider",
    first_content_s=0.25,
    total_s=1.5,
    added_s=0.0004,
    gaps=(1, 0, 3),
    withheld_chars=7,
)
PAIR = {"model": "gpt-4o", "upstream": "openai"}


def samples(text: bytes) -> Samples:
    """Return all samples of an exposition; each may stand there only once."""
    found: Samples = {}
    for family in families(text.decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def shown(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return one sample; None where it is not there."""
    return samples(metrics.text()).get((PREFIX + name, frozenset(labels.items())))


def unknown_or(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw a value, or none."""
    return st.none() | values


SECONDS = st.integers(0, 10**12).map(lambda nanoseconds: nanoseconds / NANO)
SUMMARIES = st.builds(
    Summary,
    stream_id=st.just("stm"),
    request_id=st.just("req"),
    model=st.sampled_from(["gpt-4o", "local", "a\nb", 'c"d\\', "\ud800"]),
    upstream=st.sampled_from(["openai", "azure"]),
    attempts=st.integers(1, 4),
    key_id=st.none(),
    user=st.none(),
    endpoint=st.sampled_from(["chat", "text", "passthrough"]),
    streamed=st.booleans(),
    ending=st.sampled_from(["complete", "budget", "stalled"]),
    status=st.sampled_from([200, 429, 502]),
    stopped_by=st.none(),
    finish_reason=st.none(),
    prompt_tokens=unknown_or(st.integers(0, 2**40)),
    completion_tokens=unknown_or(st.integers(0, 2**40)),
    cost_pico=unknown_or(st.integers(0, 10**15)),
    source=unknown_or(st.sampled_from(["provider", "counted"])),
    first_content_s=unknown_or(SECONDS),
    total_s=SECONDS,
    added_s=unknown_or(SECONDS),
    gaps=st.lists(st.integers(0, 1000), max_size=20).map(tuple),
    withheld_chars=st.integers(0, 10**6),
)


def test_who_asks_nobody_has_no_attempts() -> None:
    """A request for which no upstream was asked makes no row of zeros."""
    metrics = Metrics()
    metrics.ended(ENDED._replace(upstream="none", attempts=0, ending="failed", status=503))
    assert b"deltaweir_attempts_total{" not in metrics.text()


@pytest.fixture
def metrics() -> Metrics:
    """Return metrics that have seen one stream."""
    metrics = Metrics()
    metrics.ended(ENDED)
    return metrics


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("streams_total", {"endpoint": "chat", "streamed": "true", "ending": "complete"}, 1),
        ("attempts_total", {}, 1),
        ("prompt_tokens_total", {"source": "provider"}, 39),
        ("completion_tokens_total", {"source": "provider"}, 24),
        ("cost_usd_total", {}, 0.0012),
        ("withheld_characters_total", {}, 7),
        ("first_content_seconds_bucket", {"le": "0.1"}, 0),
        ("first_content_seconds_bucket", {"le": "0.25"}, 1),
        ("first_content_seconds_sum", {}, 0.25),
        ("stream_seconds_count", {}, 1),
        ("stream_seconds_sum", {}, 1.5),
        ("added_seconds_bucket", {"le": "0.0003"}, 0),
        ("added_seconds_bucket", {"le": "0.0005"}, 1),
        ("content_gap_seconds_bucket", {"le": "0.001"}, 1),
        ("content_gap_seconds_bucket", {"le": "0.002"}, 1),
        ("content_gap_seconds_bucket", {"le": "0.004"}, 4),
        ("content_gap_seconds_count", {}, 4),
        ("content_gap_seconds_sum", {}, 1.25),
    ],
)
def test_a_stream_is_counted(
    metrics: Metrics, name: str, labels: dict[str, str], value: float
) -> None:
    """Each figure of a stream stands under its model and upstream."""
    assert shown(metrics, name, **PAIR, **labels) == value


def test_attempts_are_those_of_each_upstream() -> None:
    """An upstream that failed has its own, also where it was asked again."""
    metrics = Metrics()
    metrics.ended(ENDED._replace(attempts=4, asked_before=("azure", "openai", "azure")))
    assert shown(metrics, "attempts_total", model="gpt-4o", upstream="azure") == 2
    assert shown(metrics, "attempts_total", **PAIR) == 2


def test_finds_of_a_rule_are_added_at_once() -> None:
    """However many a stream has."""
    metrics = Metrics()
    found = (("email", "flag"), ("iban", "redact")) * 500
    metrics.ended(ENDED._replace(guard_matches=found))
    assert shown(metrics, "guard_matches_total", rule="email", action="flag") == 500
    assert shown(metrics, "guard_matches_total", rule="iban", action="redact") == 500


def test_a_status_is_counted(metrics: Metrics) -> None:
    """What clients were answered is told whatever the model."""
    metrics.ended(ENDED._replace(model="local", status=429))
    assert shown(metrics, "responses_total", endpoint="chat", status="200") == 1
    assert shown(metrics, "responses_total", endpoint="chat", status="429") == 1


def test_what_is_unknown_is_not_zero() -> None:
    """An unknown figure adds no sample, and a cost that nobody knows is told of."""
    metrics = Metrics()
    metrics.ended(
        ENDED._replace(
            prompt_tokens=None, cost_pico=None, first_content_s=None, added_s=None, gaps=(0, 0)
        )
    )
    names = {name.removeprefix(PREFIX) for name, _ in samples(metrics.text())}
    assert names.isdisjoint({"prompt_tokens_total", "cost_usd_total", "added_seconds_count"})
    assert names.isdisjoint({"first_content_seconds_count", "content_gap_seconds_count"})
    assert shown(metrics, "unpriced_streams_total", **PAIR) == 1
    metrics.ended(
        ENDED._replace(endpoint="passthrough", prompt_tokens=None, completion_tokens=None)
    )
    assert shown(metrics, "unpriced_streams_total", **PAIR) == 1


SCALES = {"cost_usd_total": 10**12, "stream_seconds_sum": NANO}


def expected(summaries: list[Summary]) -> dict[tuple[str, ...], float]:
    """Add some figures up in whole numbers, in a way of its own, and divide at the end."""
    sums: Counter[tuple[str, ...]] = Counter()
    for one in summaries:
        model = "".join(letter if letter.isprintable() else "?" for letter in one.model)
        sums["streams_total", model, one.upstream, one.ending] += 1
        sums["prompt_tokens_total", model, one.upstream] += one.prompt_tokens or 0
        sums["completion_tokens_total", model, one.upstream] += one.completion_tokens or 0
        sums["cost_usd_total", model, one.upstream] += one.cost_pico or 0
        sums["stream_seconds_sum", model, one.upstream] += round(one.total_s * NANO)
        sums["content_gap_seconds_count", model, one.upstream] += sum(one.gaps)
    return {key: value / SCALES.get(key[0], 1) for key, value in sums.items() if value}


def counted(text: bytes) -> dict[tuple[str, ...], float]:
    """Read the same figures from an exposition."""
    sums = defaultdict[tuple[str, ...], float](float)
    for (name, frozen), value in samples(text).items():
        labels = dict(frozen)
        key = (name.removeprefix(PREFIX), labels.get("model", ""), labels.get("upstream", ""))
        sums[(*key, labels["ending"]) if key[0] == "streams_total" else key] += value
    return sums


@given(st.lists(SUMMARIES, max_size=20))
@settings(max_examples=30, deadline=None)
def test_sums_are_exact(summaries: list[Summary]) -> None:
    """Whatever streams there were, each sum is the sum of theirs, and no series is lost."""
    metrics = Metrics()
    for one in summaries:
        metrics.ended(one)
    sums, found = expected(summaries), counted(metrics.text())
    assert {key: found.get(key) for key in sums} == sums
    assert sum(value for key, value in found.items() if key[0] == "streams_total") == len(summaries)


@given(st.lists(st.tuples(st.integers(0, 2), SUMMARIES), max_size=12))
@settings(max_examples=12, deadline=None)
def test_workers_add_up(told: list[tuple[int, Summary]]) -> None:
    """However streams fall to workers, each shows what one alone would have shown."""
    alone = Metrics()
    with TemporaryDirectory() as directory:
        workers = [Metrics(Path(directory)) for _ in range(3)]
        for which, one in told:
            alone.ended(one)
            workers[which].ended(one)
        texts = [samples(worker.text()) for worker in workers]
        for worker in workers:
            worker.close()
    key = (f"{PREFIX}workers", frozenset[tuple[str, str]]())
    assert [text.pop(key) for text in texts] == [3, 3, 3]
    assert texts == [{k: v for k, v in samples(alone.text()).items() if k != key}] * 3


@given(st.lists(SECONDS, max_size=30))
@settings(max_examples=30, deadline=None)
def test_buckets_hold_what_is_not_longer(durations: list[float]) -> None:
    """A bucket counts the times up to its bound, the bound included; the last counts all."""
    metrics = Metrics()
    for one in durations:
        metrics.ended(ENDED._replace(total_s=one))
    ordered = sorted(durations)
    for (name, frozen), value in samples(metrics.text()).items():
        if name == f"{PREFIX}stream_seconds_bucket":
            assert value == bisect_right(ordered, float(dict(frozen)["le"]))


def test_long_gaps_are_all_counted() -> None:
    """Gaps beyond the last bound stand in the bucket without one."""
    metrics = Metrics()
    metrics.ended(ENDED._replace(gaps=(0,) * 16 + (1, 2, 4, 8)))
    assert shown(metrics, "content_gap_seconds_bucket", **PAIR, le="65.536") == 1
    assert shown(metrics, "content_gap_seconds_bucket", **PAIR, le="+Inf") == 15


@pytest.mark.parametrize("shared", [False, True])
def test_nonsense_does_not_break_a_count(tmp_path: Path, *, shared: bool) -> None:
    """A count never falls, and stays at the most it can hold."""
    metrics = Metrics(tmp_path if shared else None)
    metrics.ended(ENDED._replace(prompt_tokens=10**30, completion_tokens=-5, total_s=-1.0))
    metrics.ended(ENDED)
    metrics.close()
    assert shown(metrics, "prompt_tokens_total", **PAIR, source="provider") == float(MOST)
    assert shown(metrics, "completion_tokens_total", **PAIR, source="provider") == 24
    assert shown(metrics, "stream_seconds_sum", **PAIR) == 1.5


def test_models_that_clients_make_up_are_bounded() -> None:
    """Beyond a number of pairs, models count as others; none is lost, known ones stay."""
    metrics = Metrics()
    metrics.known = {"listed"}
    refused = ENDED._replace(first_content_s=None, added_s=None, gaps=(), cost_pico=None)
    made_up = [f"made-up-{number}" for number in range(MOST_PAIRS + 50)]
    for model in (*made_up, "listed", "made-up-0"):
        metrics.ended(refused._replace(model=model))
    streams = {
        dict(labels)["model"]: value
        for (name, labels), value in samples(metrics.text()).items()
        if name == f"{PREFIX}streams_total"
    }
    assert len(streams) == MOST_PAIRS + 2
    assert (streams[OTHER], streams["listed"], streams["made-up-0"]) == (50, 1, 2)


def test_labels_are_bounded() -> None:
    """A name of any length makes a label of a bounded one."""
    metrics = Metrics()
    metrics.ended(ENDED._replace(model="m" * 10**6))
    assert shown(metrics, "attempts_total", model="m" * LONGEST_LABEL, upstream="openai") == 1


def test_nobody_is_named(metrics: Metrics) -> None:
    """No key, user or id of a stream stands in the metrics, nor what a provider chose to say."""
    assert b"5ec" not in metrics.text()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=zero", "application/openmetrics-text; version=1"),
        ("application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1", "application/openmetrics"),
    ],
)
def test_openmetrics_is_for_whom_takes_it(metrics: Metrics, accept: str, kind: str) -> None:
    """Others get Prometheus's text; both say the same."""
    content_type, body = metrics.exposition(accept)
    assert content_type.startswith(kind)
    read = open_families if "openmetrics" in kind else families
    found = {(one.name, sample.value) for one in read(body.decode()) for sample in one.samples}
    assert (f"{PREFIX}prompt_tokens", 39.0) in found


def test_names_follow_the_conventions() -> None:
    """Base units and no suffix that Prometheus adds itself; each says what it is."""
    for name, family in FAMILIES.items():
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_ms"))
        assert (family.kind == "histogram") == name.endswith("_seconds")
        assert sorted(set(family.bounds)) == [*family.bounds]
        assert family.help.endswith(".")


def test_every_metric_is_documented() -> None:
    """The page names each metric as Prometheus shows it, and each of its labels."""
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
    for name, family in FAMILIES.items():
        row = f"| `{PREFIX}{name}{'_total' if family.kind == 'counter' else ''}` |"
        (line,) = [line for line in page.splitlines() if line.startswith(row)]
        assert all(label in line for label in family.labels)


def test_gauges_are_read_when_asked() -> None:
    """Each exposition shows what there is then; an upstream that is gone has no connections."""
    metrics = Metrics()
    running, pools = [3], [("openai", 2, 5), ("azure", 1, 0)]
    metrics.watch("streams_running", lambda: running[0])
    metrics.watch("ledger_rows_lost", lambda: 4)
    metrics.watch_pools(lambda: pools)
    assert shown(metrics, "streams_running") == 3
    assert shown(metrics, "ledger_rows_lost_total") == 4
    assert shown(metrics, "held_characters") is None
    assert shown(metrics, "upstream_connections", upstream="azure", state="active") == 1
    running[0] = 1
    del pools[1]
    assert shown(metrics, "streams_running") == 1
    assert shown(metrics, "upstream_connections", upstream="openai", state="idle") == 5
    assert shown(metrics, "upstream_connections", upstream="azure", state="active") == 0


def test_breakers_are_shown_by_upstream(metrics: Metrics) -> None:
    """One that is open is 1, one that is closed or gone is 0."""
    breakers = [("openai", True), ("azure", False)]
    metrics.watch_breakers(lambda: breakers)
    assert shown(metrics, "upstream_breakers_open", upstream="openai") == 1
    assert shown(metrics, "upstream_breakers_open", upstream="azure") == 0
    breakers.pop(0)
    assert shown(metrics, "upstream_breakers_open", upstream="openai") == 0


def test_gateways_of_one_process_do_not_meet(metrics: Metrics) -> None:
    """Each has its own numbers, and a host may take them into a registry of its own."""
    assert shown(Metrics(), "attempts_total", **PAIR) is None
    registry = CollectorRegistry()
    registry.register(metrics)
    assert generate_latest(registry) == metrics.text()


WORKER = """
import sys
from deltaweir.gateway.metrics.metrics import Metrics
from deltaweir.gateway.metrics.summary import Summary

metrics = Metrics.of_environment()
metrics.watch("streams_running", lambda: 20)
metrics.watch("ledger_rows_lost", lambda: 2)
for line in sys.stdin:
    metrics.ended(eval(line))
    text = metrics.text()
    print(len(text), flush=True)
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker that counts the streams it is told of, and shows all metrics each time."""
    environment = {**os.environ, DIRECTORY: str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        yield process
        process.kill()


def tell(worker: subprocess.Popen[bytes], summary: Summary) -> Samples:
    """Tell a worker of a stream, and return what it shows."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(repr(summary).encode() + b"\n")
    worker.stdin.flush()
    return samples(worker.stdout.read(int(worker.stdout.readline())))


def test_two_processes_show_the_same(
    tmp_path: Path, worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any worker shows the sum; who is killed leaves its counts and takes its gauges along."""
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    metrics = Metrics.of_environment()
    metrics.watch("streams_running", lambda: 1)
    metrics.ended(ENDED._replace(prompt_tokens=100))
    metrics.publish()
    elsewhere = tell(worker, ENDED)
    assert {path.suffix for path in tmp_path.iterdir()} == {".cells", ".lock"}
    assert elsewhere == samples(metrics.text())
    prompt = {**PAIR, "source": "provider"}
    assert shown(metrics, "prompt_tokens_total", **prompt) == 139
    assert shown(metrics, "streams_running") == 21
    assert shown(metrics, "workers") == 2
    tell(worker, ENDED)
    worker.kill()
    worker.wait(20)
    assert shown(metrics, "prompt_tokens_total", **prompt) == 178
    assert shown(metrics, "content_gap_seconds_count", **PAIR) == 12
    assert shown(metrics, "ledger_rows_lost_total") == 2
    assert shown(metrics, "streams_running") == 1
    assert shown(metrics, "workers") == 1
    metrics.close()


def test_one_worker_shares_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the variable no file is written."""
    monkeypatch.delenv(DIRECTORY, raising=False)
    Metrics.of_environment().ended(ENDED)
    assert [*tmp_path.iterdir()] == []


def test_a_worker_that_stopped_counts_on(tmp_path: Path) -> None:
    """What ends after a worker's close is counted; closing again changes nothing."""
    first, second = Metrics(tmp_path), Metrics(tmp_path)
    first.watch("streams_running", lambda: 1)
    first.publish()
    first.close()
    first.close()
    first.ended(ENDED)
    assert shown(second, "attempts_total", **PAIR) == 1
    assert shown(second, "streams_running") is None
    assert shown(second, "workers") == 1
    second.close()


def test_many_names_fill_several_segments(tmp_path: Path) -> None:
    """Names are found in whichever segment of the file they stand."""
    writer, reader = SharedCells(tmp_path), SharedCells(tmp_path)
    told = {("name", "é" * (number % 40), str(number)): number for number in range(5000)}
    for name, number in told.items():
        writer.made(name, 2)[1] = number
    ((lives, named),) = reader.others()
    assert lives
    assert dict(named) == {n: [0, v] for n, v in told.items()}
    assert max(path.stat().st_size for path in tmp_path.iterdir()) > SEGMENT
    writer.close()
    reader.close()


def test_what_cannot_be_read_is_left_out(tmp_path: Path, metrics: Metrics) -> None:
    """A file that has just gone, and names or widths of another version, disturb nobody."""
    (tmp_path / "gone.cells").symlink_to(tmp_path / "nowhere")
    other, worker = SharedCells(tmp_path), Metrics(tmp_path)
    other.made(("no_such_metric",), 1)[0] = 1
    other.made(("stream_seconds", "gpt-4o", "openai"), 3)[0] = 1
    worker.ended(ENDED)
    assert worker.text() == metrics.text().replace(b"workers 1.0", b"workers 2.0")
    other.close()
    worker.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_a_full_disk_stops_no_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that cannot share its numbers still shows them itself, and says so once."""
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT // 2, before[1]))
    try:
        metrics = Metrics(tmp_path)
        metrics.ended(ENDED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert shown(metrics, "attempts_total", **PAIR) == 1
    assert len(caplog.records) == 1
    assert "other workers will miss" in caplog.text
    metrics.close()
