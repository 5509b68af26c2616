from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_nets import pictures, tiny_net, write_onnx, write_torchscript

from ulecli.errors import ModelError, NoSuchPath, UleError, UsageError
from ulecli.nets.backbones.backbone import BackboneOptions
from ulecli.nets.backbones.judges import JUDGES
from ulecli.nets.backbones.makers import MAKERS
from ulecli.nets.backbones.opening import open_backbone, requests


def test_names_and_files(tmp_path: Path) -> None:
    write_onnx(tmp_path / "a.bin")
    name, maker, file, arch = requests(
        [
            "efficientnet-lite2",
            "efficientnet-lite0",
            str(tmp_path / "a.bin"),
            f"resnet18={tmp_path / 'a.bin'}",
        ],
        BackboneOptions(size=7),
    )
    assert (name.name, name.file, name.is_maker) == ("efficientnet-lite2", None, False)
    assert maker.is_maker and not file.is_maker
    assert (file.arch, arch.arch) == ("", "resnet18") and arch.file == file.file
    assert file.label != arch.label  # of one file name, the whole tells them apart
    assert {one.options.size for one in (name, maker, file, arch)} == {7}


def test_judges_take_no_part_in_the_making() -> None:
    assert not set(JUDGES) & set(MAKERS)
    assert "efficientnet-lite2" in JUDGES and "efficientnet-lite0" in MAKERS


def test_the_format_is_told_by_the_content(tmp_path: Path) -> None:
    write_onnx(tmp_path / "a.jpg")
    write_torchscript(tmp_path / "b.onnx", tiny_net())
    first, second = (
        open_backbone(request).module()
        for request in requests([str(tmp_path / "a.jpg"), str(tmp_path / "b.onnx")], BackboneOptions(size=16))
    )
    images = pictures(3, 16)
    with torch.no_grad():
        torch.testing.assert_close(first(images), second(images), atol=1e-5, rtol=1e-5)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    write_onnx(path)
    (request,) = requests([str(path)], BackboneOptions())
    first = open_backbone(request)
    assert open_backbone(request) is first
    write_onnx(path, tail=("Softmax",))
    assert open_backbone(request).digest != first.digest


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("efficientnet-lite3", UsageError, r"no backbone and no file 'efficientnet-lite3'.*did you mean"),
        ("absent.onnx", NoSuchPath, "no backbone absent.onnx"),
        ("resnet18=absent.pth", NoSuchPath, "no backbone absent.pth"),
        ("{folder}", UsageError, "is a folder"),
    ],
)
def test_what_is_no_backbone(text: str, kind: type[UleError], words: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=words):
        requests([text.format(folder=tmp_path)], BackboneOptions())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"\x89PNG\r\n\x1a\n",
        b"{}",
        b"[1]",
        b"PK\3\4",
    ],
)
def test_files_that_hold_no_net(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.net"
    path.write_bytes(content)
    (request,) = requests([str(path)], BackboneOptions())
    with pytest.raises(ModelError, match=r"some\.net") as error:
        open_backbone(request)
    assert "\n" not in str(error.value)
