"""A real cluster of Ray on this machine: minutes, and only where Ray is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import scene

from ulecli.errors import UleError, UsageError
from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import PhotoOutcome, ProtectReport, Status
from ulecli.protection.run import protect
from ulecli.surrogates.opening import open_perturber
from ulecli.system.devices import Device


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Twelve photos in two folders, and one that is broken."""
    root = tmp_path / "library"
    for number in range(12):
        folder = root / f"year {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        scene(1200, 900, seed=number).save(folder / f"{number}.jpg", quality=92)
    (root / "broken").mkdir()
    whole = (root / "year 0" / "0.jpg").read_bytes()
    (root / "broken" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    return root


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


def protected(library: Path, output: Path, *, on_outcome: Any = None, **more: Any) -> ProtectReport:
    config = ProtectConfig(
        sources=(library,),
        output=output,
        key_file=output.parent / "key",
        device=Device.CPU,
        **more,
    )
    perturber = open_perturber(config.surrogate, device=config.device, threads=1)
    return protect(config, perturber, on_outcome=on_outcome)


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.jpg") if path.is_file()
    }


def statuses(report: ProtectReport) -> dict[str, Status]:
    return {outcome.source.name: outcome.status for outcome in report.outcomes}


@pytest.mark.slow
def test_a_machine_that_dies_loses_no_photo_and_doubles_none(cluster: Any, library: Path, tmp_path) -> None:
    seen: list[PhotoOutcome] = []

    def kill(outcome: PhotoOutcome, total: int) -> None:
        seen.append(outcome)
        if len(seen) == 3:
            cluster.remove_node(cluster.worker, allow_graceful=False)

    on_ray = {"workers": "ray", "ray_address": cluster.address, "jobs": 0}
    report = protected(library, tmp_path / "ray", on_outcome=kill, **on_ray)
    alone = protected(library, tmp_path / "alone")
    assert statuses(report) == statuses(alone)
    assert sorted(statuses(report).values()) == [Status.FAILED, *[Status.WRITTEN] * 12]
    assert files(tmp_path / "ray") == files(tmp_path / "alone")
    assert len(seen) == len({outcome.source for outcome in seen}) == 13
    assert [outcome.reason for outcome in report.outcomes] == [outcome.reason for outcome in alone.outcomes]
    assert not [path for path in (tmp_path / "ray").rglob("*") if path.suffix not in ("", ".jpg", ".sqlite")]
    again = protected(library, tmp_path / "ray")  # the ledger knows all of them
    assert sorted(statuses(again).values()) == [Status.FAILED, *[Status.UNCHANGED] * 12]


@pytest.mark.slow
def test_ray_of_its_own_and_an_interruption(library: Path, tmp_path, monkeypatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    import ray

    monkeypatch.chdir(tmp_path)  # relative paths mean the same on other machines

    def interrupt(outcome: PhotoOutcome, total: int) -> None:
        raise KeyboardInterrupt  # photos are in work then

    on_ray = {"workers": "ray", "jobs": 2}
    with pytest.raises(KeyboardInterrupt):
        protected(Path("library"), Path("ray").absolute(), on_outcome=interrupt, **on_ray)
    assert not ray.is_initialized()
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    with pytest.raises(UleError, match="this process uses Ray already"):
        protected(Path("library"), Path("ray").absolute(), **on_ray)
    assert ray.is_initialized()
    ray.shutdown()
    report = protected(Path("library"), Path("ray").absolute(), **on_ray)
    assert set(statuses(report).values()) <= {Status.WRITTEN, Status.UNCHANGED, Status.FAILED}
    protected(Path("library"), Path("alone").absolute())
    assert files(tmp_path / "ray") == files(tmp_path / "alone")


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(UsageError, match="--workers ray protects on CPUs: leave out --device cuda"):
        ProtectConfig(sources=(Path("a"),), workers="ray", device=Device.CUDA)
    with pytest.raises(UsageError, match="--ray-address belongs to --workers ray"):
        ProtectConfig(sources=(Path("a"),), ray_address="auto")
    with pytest.raises(UsageError, match="--jobs is 0"):
        ProtectConfig(sources=(Path("a"),), jobs=0)
    assert ProtectConfig(sources=(Path("a"),), workers="ray", jobs=0).device is Device.CPU


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_line(library: Path, tmp_path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.raises(UleError, match=r"no Ray cluster .* at --ray-address 127\.0\.0\.1:9 "):
        protected(library, tmp_path / "out", workers="ray", ray_address="127.0.0.1:9")
    assert not (tmp_path / "out").exists()
