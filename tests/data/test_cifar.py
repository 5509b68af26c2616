from __future__ import annotations

import hashlib
import io
import pickle
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ulecli.data import cifar
from ulecli.data.datasets import Dataset, open_dataset
from ulecli.errors import UleError
from ulecli.system.torchvision_shim import import_torchvision

ARCHIVES = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def batch(count: int, seed: int, key: str) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3072), np.uint8)
    return pickle.dumps({"data": pixels, key: [index % 2 for index in range(count)]}, protocol=2)


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tiny archives in CIFAR's format, whose md5 pass for the official ones."""
    folder = tmp_path / "official"
    folder.mkdir()
    datasets = import_torchvision().datasets
    for kind, labels, key in (
        ("CIFAR10", "labels", "label_names"),
        ("CIFAR100", "fine_labels", "fine_label_names"),
    ):
        dataset = getattr(datasets, kind)
        files = {"one": batch(4, 1, labels), "two": batch(3, 2, labels)}
        files["names"] = pickle.dumps({key: ["left", "right"]}, protocol=2)
        with tarfile.open(folder / dataset.filename, "w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"{dataset.base_folder}/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        monkeypatch.setattr(dataset, "tgz_md5", md5((folder / dataset.filename).read_bytes()))
        monkeypatch.setattr(dataset, "train_list", [["one", md5(files["one"])]])
        monkeypatch.setattr(dataset, "test_list", [["two", md5(files["two"])]])
        meta = {"filename": "names", "key": key, "md5": md5(files["names"])}
        monkeypatch.setattr(dataset, "meta", meta)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve folders on this machine; every call returns an address."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nobody() -> str:
    """An address on this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Dataset]:
    """Open a data set in a new folder, with these servers as the official one and the mirror."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("ULECLI_MIRROR", raising=False)

    def asked(first: str, second: str, name: str = "cifar10") -> Dataset:
        dataset = getattr(import_torchvision().datasets, name.upper())
        monkeypatch.setattr(dataset, "url", f"{first}/{ARCHIVES[name]}")
        monkeypatch.setitem(cifar.MIRRORS, name, f"{second}/{ARCHIVES[name]}")
        return open_dataset(name, tmp_path / "root")

    return asked


@pytest.mark.parametrize("name", ARCHIVES)
def test_absent_data_is_downloaded_unpacked_and_read(
    name: str, official: Path, serve, nobody: str, ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask(serve(official), nobody, name)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 3072), np.uint8)
    assert np.array_equal(found.train.images.numpy(), pixels.reshape(4, 3, 32, 32))
    assert found.test.labels.tolist() == [0, 1, 0]
    assert found.train.classes == ("left", "right")
    assert capsys.readouterr().out == ""
    (tmp_path / "root" / ARCHIVES[name]).unlink()
    assert ask(nobody, nobody, name).digest == found.digest  # what lies there is not fetched again


def test_the_mirror_helps_when_the_official_server_is_down(official: Path, serve, nobody: str, ask) -> None:
    assert len(ask(nobody, serve(official)).train) == 4


def test_the_environment_names_another_mirror(
    official: Path, serve, nobody: str, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULECLI_MIRROR", serve(official) + "/")
    assert len(ask(nobody, nobody).train) == 4


def test_a_part_of_an_archive_is_no_obstacle(official: Path, serve, nobody: str, ask, tmp_path: Path) -> None:
    whole = (official / ARCHIVES["cifar10"]).read_bytes()
    torn = tmp_path / "torn"
    for folder in (torn, tmp_path / "root"):  # on a server, and left behind by an interrupted run
        folder.mkdir()
        (folder / ARCHIVES["cifar10"]).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UleError, match="can't download"):
        ask(serve(torn), nobody)
    assert len(ask(serve(official), nobody).train) == 4


def test_an_archive_that_is_another_is_not_read(official: Path, serve, ask, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ARCHIVES["cifar10"]).write_bytes((official / ARCHIVES["cifar100"]).read_bytes())
    address = serve(other)
    with pytest.raises(UleError, match="can't download"):
        ask(address, address)
    assert not (tmp_path / "root" / "cifar-100-python").exists()


def test_without_a_network_one_line_says_what_to_do(official: Path, nobody: str, ask, tmp_path: Path) -> None:
    with pytest.raises(UleError) as caught:
        ask(nobody, nobody.replace("127.0.0.1", "localhost"))
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"{nobody}/{ARCHIVES['cifar10']}",
        f"{nobody.replace('127.0.0.1', 'localhost')}/{ARCHIVES['cifar10']}",
        str(tmp_path / "root"),
        f"unpack {ARCHIVES['cifar10']}",
        "--data-root",
        "--dataset shapes",
    ):
        assert part in message


@pytest.mark.parametrize("answer", [b"rubbish\r\n\r\n", b"HTTP/1.0 503 Busy\r\n\r\n", None])
def test_odd_servers_send_it_on_to_the_mirror(
    answer: bytes | None, official: Path, serve, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def reply() -> None:  # None stays silent: connections wait in the queue
            while answer is not None:
                try:
                    with odd.accept()[0] as caller:
                        caller.recv(9999)
                        caller.sendall(answer)
                except OSError:
                    return

        threading.Thread(target=reply, daemon=True).start()
        found = ask(f"http://127.0.0.1:{odd.getsockname()[1]}", serve(official))
        odd.shutdown(socket.SHUT_RDWR)
    assert len(found.train) == 4
    assert socket.getdefaulttimeout() is None


def test_a_mirror_that_is_no_address_is_named(
    official: Path, nobody: str, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULECLI_MIRROR", "my mirror")
    with pytest.raises(UleError, match=r"unknown url type: 'my mirror/cifar-10-python\.tar\.gz'"):
        ask(nobody, nobody)


@pytest.mark.parametrize("name", ARCHIVES)
def test_without_leave_the_network_is_not_used(name: str, tmp_path: Path) -> None:
    with pytest.raises(UleError, match=f"no complete CIFAR-{name[5:]} in .*--data-root"):
        open_dataset(name, tmp_path / "root", download=False)
    assert not (tmp_path / "root").exists()
