from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from ulecli.data.cifar import cifar10, default_root
from ulecli.data.folder import image_folder, picture_files, read_picture
from ulecli.data.images import ImageSet
from ulecli.errors import ExitCode, NoSuchPath, PhotoSkipped, UleError
from ulecli.formats.colour import display_p3

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes: `cat` with a nested picture, `ant` with one."""
    for name, colour in {"cat/10.png": RED, "cat/deep/2.JPG": GREEN, "ant/a.webp": BLUE}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), colour).save(path)
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "cat" / "._10.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "labels.csv").write_text("cat,ant")
    return tmp_path


def test_image_folder_is_one_tensor_in_a_fixed_order(tree: Path) -> None:
    found = image_folder(tree, 8)
    assert found.classes == ("ant", "cat")
    assert found.labels.tolist() == [0, 1, 1]
    assert found.images.shape == (3, 3, 8, 8)
    assert found.images.is_contiguous()
    assert found.images.float().mean((2, 3)).argmax(1).tolist() == [2, 0, 1]
    assert len(found) == 3


def test_image_folder_is_deterministic(tree: Path) -> None:
    assert torch.equal(image_folder(tree, 16).images, image_folder(tree, 16).images)


def test_pictures_are_squeezed_as_pillow_does(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 33, 3), np.uint8)
    (tmp_path / "class").mkdir()
    Image.fromarray(pixels).save(tmp_path / "class" / "noise.png")
    expected = Image.fromarray(pixels).resize((12, 12), Image.Resampling.BILINEAR)
    assert np.array_equal(image_folder(tmp_path, 12).images[0].permute(1, 2, 0), np.asarray(expected))


def test_pictures_are_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), RED)
    picture.paste(BLUE, (0, 0, 20, 20))  # stored on the left; turned by 90 degrees it is on top
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "class").mkdir()
    picture.save(tmp_path / "class" / "portrait.png", exif=exif)
    upright = image_folder(tmp_path, 8).images[0]
    assert upright[2, 0].min() == 255
    assert upright[0, -1].min() == 255


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "class").mkdir()
    Image.new("RGB", (9, 9), (250, 250, 250)).convert(mode).save(tmp_path / "class" / "picture.tiff")
    assert image_folder(tmp_path, 4).images.float().mean() > 240


def test_unreadable_picture_is_named(tree: Path) -> None:
    (tree / "ant" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    with pytest.raises(UleError, match=r"torn\.jpg can't be read as a picture.*repair or remove it"):
        image_folder(tree, 8)


def test_pictures_are_those_that_hold_one_whatever_their_name(tree: Path) -> None:
    ant = tree / "ant"
    picture = Image.new("RGB", (40, 20), RED)
    saved = {"b.avif": "AVIF", "c.jfif": "JPEG", "e.dib": "BMP", "f": "PNG", "g.heic.txt": "TIFF"}
    for name, format in saved.items():
        picture.save(ant / name, format)
    picture.save(ant / "d.mpo", "MPO", save_all=True, append_images=[Image.new("RGB", (40, 20), BLUE)])
    picture.save(ant / "h.gif", save_all=True, append_images=[Image.new("RGB", (40, 20), BLUE)])
    picture.save(ant / "i.ppm")
    picture.convert("L").save(ant / "j.pgm")
    (ant / "labels.csv").write_text("P6 is no picture here")
    found = image_folder(tree, 8)
    names = sorted(["a.webp", *saved, "d.mpo", "h.gif", "i.ppm", "j.pgm"])
    assert [path.name for path in picture_files(ant)] == names
    assert found.labels.tolist() == [0] * len(names) + [1, 1]
    means = found.images.float().mean((2, 3))[: len(names)]
    red = [name not in ("a.webp", "j.pgm") for name in names]
    assert [bool(mean[0] > 220 and mean[1:].max() < 30) for mean in means] == red  # the first frame of each


def test_heic_is_read_or_named_with_what_reads_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 64), RED)).save(tree / "ant" / "b.heic")
    assert image_folder(tree, 8).labels.tolist() == [0, 0, 1, 1]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UleError, match=r"b\.heic can't be read .*pip install '.*heif.*'.*make a JPEG of it"):
        image_folder(tree, 8)


def test_colours_are_those_of_srgb(tmp_path: Path) -> None:
    srgb = ImageCms.createProfile("sRGB")
    profile = display_p3()
    colours = np.random.default_rng(0).integers(60, 200, (16, 16, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "p3.png", icc_profile=profile)
    expected = ImageCms.profileToProfile(
        Image.fromarray(colours), ImageCms.ImageCmsProfile(BytesIO(profile)), srgb, 1
    )
    found = np.asarray(read_picture(tmp_path / "p3.png")).astype(int)
    assert np.abs(found - np.asarray(expected)).max() <= 1
    assert np.abs(found - colours).max() > 5


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jxl", b"\xff\x0a" + bytes(40), "is JPEG XL"),
        ("renamed.png", b"FUJIFILMCCD-RAW" + bytes(40), r"is camera raw \(RAF\)"),
        ("page.jpg", b"<!DOCTYPE html>", "holds no picture"),
        ("empty.png", b"", "holds no picture"),
        ("dim.psd", b"8BPS" + bytes(40), "is Photoshop's format"),
    ],
)
def test_what_can_not_be_read_is_named(tree: Path, name: str, content: bytes, words: str) -> None:
    (tree / "cat" / name).write_bytes(content)
    with pytest.raises(PhotoSkipped, match=words):
        read_picture(tree / "cat" / name)
    with pytest.raises(UleError, match=rf"{name} can't be read as a picture \({words}.*make a JPEG of it"):
        image_folder(tree, 8)


def test_many_that_can_not_be_read_are_one_line(tree: Path) -> None:
    for name in ("ant/b.jpg", "cat/c.jpg", "cat/d.jxl"):
        (tree / name).write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UleError, match=r"b\.jpg and 2 more can't be read .*repair or remove them$") as caught:
        image_folder(tree, 8)
    assert "\n" not in str(caught.value)


def test_bad_trees_are_named(tmp_path: Path) -> None:
    with pytest.raises(NoSuchPath, match="there is no folder"):
        image_folder(tmp_path / "nowhere", 8)
    with pytest.raises(UleError, match="holds no folder"):
        image_folder(tmp_path, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UleError, match="empty holds no picture"):
        image_folder(tmp_path, 8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64), "images"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), "images"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "labels"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2), "labels"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 2]), "0 to 1"),
    ],
)
def test_image_set_refuses_what_does_not_fit(
    images: torch.Tensor, labels: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSet(images, labels, ("a", "b"))


def test_default_root_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULECLI_DATA", "/somewhere")
    assert default_root() == Path("/somewhere")
    monkeypatch.delenv("ULECLI_DATA")
    assert default_root() == Path("data")


def test_absent_cifar10_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UleError, match=r"no complete CIFAR-10 in .*--data-root") as caught:
        cifar10(tmp_path, train=False)
    assert caught.value.exit_code is ExitCode.FAILED


@pytest.mark.parametrize(("train", "count"), [(True, 50_000), (False, 10_000)])
def test_cifar10_as_published(train: bool, count: int) -> None:
    if not (default_root() / "cifar-10-batches-py").is_dir():
        pytest.skip("no CIFAR-10 in ULECLI_DATA")
    found = cifar10(default_root(), train=train)
    assert found.images.shape == (count, 3, 32, 32)
    assert torch.bincount(found.labels).tolist() == [count // 10] * 10
    assert found.classes[3] == "cat"


def test_torchvision_works_beside_a_cpu_build_of_torch() -> None:
    """In a fresh process, as the import leaves its marks on a process, and twice, as the second is plain."""
    script = (
        "import torch; from ulecli.system.torchvision_shim import import_torchvision\n"
        "torchvision = import_torchvision()\n"
        "assert import_torchvision() is torchvision\n"
        "import torchvision.models, torchvision.transforms.v2 as transforms\n"
        "images = transforms.RandomResizedCrop(8)(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))\n"
        "assert images.shape == (2, 3, 8, 8)\n"
        "assert torchvision.datasets.CIFAR10.base_folder == 'cifar-10-batches-py'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
