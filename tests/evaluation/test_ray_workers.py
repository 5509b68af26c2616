"""Real clusters of Ray on this machine: minutes, and only where Ray is installed."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_runs import SMALL, TINY, Told, figures, tiny  # noqa: F401

import ulecli.evaluation.config
from ulecli.errors import NoSuchPath, UleError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.run import evaluate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny")]

CONFIG = EvaluateConfig(
    exploiters=("standard", "gray", "at-8"),
    defenders=("noise",),
    dataset="shapes",
    jobs=1,
    threads=1,
    validation=0.35,
)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of two machines that lend a core each, the second of them in `worker`."""
    pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.worker = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def on(address: str, **changes: Any) -> EvaluateConfig:
    return replace(CONFIG, workers="ray", ray_address=address, jobs=0, threads=0, **changes)


def test_a_ray_of_its_own_gives_the_same_records() -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    import ray

    told = Told()
    done = evaluate(replace(CONFIG, workers="ray", threads=2, jobs=2), told)
    assert figures(done.records) == figures(evaluate(CONFIG).records)
    assert sorted(told.epochs) == [(number, epoch) for number in range(6) for epoch in (1, 2)]
    assert all(record.deterministic == 1 and record.stopped is not None for record in done.records)
    assert not ray.is_initialized()


class Killing(Told):
    """Has a machine die as soon as two trainings have begun, which on two machines is one each."""

    def __init__(self, kill: Callable[[], object]) -> None:
        super().__init__()
        self._kill: Callable[[], object] | None = kill

    def epoch(self, number: int, epoch: int, accuracy: float) -> None:
        super().epoch(number, epoch, accuracy)
        if self._kill is not None and len({number for number, _ in self.epochs}) == 2:
            assert not self.records
            self._kill()
            self._kill = None


@pytest.mark.parametrize("kept", [True, False])
def test_a_machine_that_dies_loses_nothing_and_doubles_nothing(
    kept: bool, cluster: Any, monkeypatch, tmp_path
) -> None:
    longer = dict.fromkeys(PRESETS, replace(TINY, small=replace(SMALL, epochs=150)))
    monkeypatch.setattr(ulecli.evaluation.config, "PRESETS", longer)
    out = tmp_path / "out"
    told = Killing(lambda: cluster.remove_node(cluster.worker, allow_graceful=False))
    config = on(cluster.address, exploiters=("standard", "gray"), out=out if kept else None)
    done = evaluate(config, told)
    alone = evaluate(replace(CONFIG, exploiters=("standard", "gray"))).records
    assert told._kill is None and len(done.records) == len(told.records) == 4
    assert figures(done.records) == figures(alone)
    assert {(one.arm, one.train_md5, one.key) for one in done.records} == {
        (one.arm, one.train_md5, one.key) for one in alone
    }
    begun = Counter(number for number, epoch in told.epochs if epoch == 1)
    if kept:  # what was lost goes on with its checkpoint
        written = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
        assert written == [record.to_json() for record in told.records]
        assert not list((out / "checkpoints").iterdir()) and set(begun.values()) == {1}
        assert evaluate(replace(CONFIG, exploiters=("standard", "gray"), out=out, resume=True), Told())
    else:
        assert sorted(begun.values()) == [1, 1, 1, 2]


def test_errors_of_a_training_are_those_of_one_process(cluster: Any, tmp_path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from ulecli.errors import NoSuchPath\n"
        "from ulecli.evaluation.plugins import Countermeasure, Fitted\n"
        "def broken(preparation):\n"
        "    raise NoSuchPath('there is no such thing')\n"
        "EXPLOITERS = {'broken': Countermeasure(varies=(Fitted(broken),))}\n"
    )
    with pytest.raises(NoSuchPath, match=r"^there is no such thing$"):
        evaluate(on(cluster.address, plugins=(plugin,), exploiters=("standard", "broken")))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("ulecli.system.versions.__version__", r"has ulecli .*, and this one 9\.9: install the same"),
        ("ray.__version__", r"no Ray cluster of this Ray and Python at --ray-address .*[Vv]ersion mismatch"),
    ],
)
def test_other_versions_are_refused_before_any_work(what: str, words: str, cluster: Any, monkeypatch) -> None:
    monkeypatch.setattr(what, "9.9")
    monkeypatch.setattr(
        "ulecli.evaluation.training_sets.defend", lambda *_, **__: pytest.fail("a defender worked")
    )
    with pytest.raises(UleError, match=words):
        evaluate(on(cluster.address))


def serve(answer: bytes, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(answer)


@pytest.mark.parametrize("answer", [None, b"SSH-2.0-OpenSSH_9.6\r\n", b""])
def test_a_cluster_that_is_not_there_is_one_line(answer: bytes | None) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if answer is None:
            listener.close()
        else:
            threading.Thread(target=serve, args=(answer, listener), daemon=True).start()
        with pytest.raises(UleError, match=f"no Ray cluster .* at --ray-address 127.0.0.1:{port} "):
            evaluate(on(f"127.0.0.1:{port}"))


def test_an_interruption_ends_at_once_and_keeps_what_is_done(cluster: Any, tmp_path: Path) -> None:
    import ray

    config = on(cluster.address, out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, Told(stop_after=2))
    assert not ray.is_initialized()
    told = Told()
    done = evaluate(replace(config, resume=True), told)
    assert len(told.plan) == 4 and figures(done.records) == figures(evaluate(CONFIG).records)
