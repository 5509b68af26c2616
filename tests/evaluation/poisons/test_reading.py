from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from helpers.small_set import small_set

from ulecli.data.cifar import cifar10, default_root
from ulecli.data.images import ImageSet
from ulecli.errors import ExitCode, NoSuchPath, UleError
from ulecli.evaluation.poisons.content import PoisonKind
from ulecli.evaluation.poisons.poison_audit import audit, warnings
from ulecli.evaluation.poisons.reading import read_poison


@pytest.fixture
def clean() -> ImageSet:
    return small_set()


def sinusoids(count: int, height: int, width: int, peak: float) -> np.ndarray:
    """Return perturbations (count, 3, height, width) float64 that other hands might make: waves, signed."""
    y, x = np.mgrid[:height, :width]
    number = np.arange(count)[:, None, None, None]
    channel = np.arange(3)[:, None, None]
    return peak * np.sin(0.7 * x + 1.3 * y + number + 2 * channel)


def added(clean: ImageSet, levels: np.ndarray) -> np.ndarray:
    """Add in whole numbers, value by value where it matters: clean plus delta, clamped, rounded once."""
    return np.rint(np.clip(clean.images.numpy().astype(np.float64) + levels, 0, 255)).astype(np.uint8)


def save(path: Path, array: np.ndarray, name: str = "images", **others: np.ndarray) -> Path:
    """Write an array by the ending of the path, with the library that owns the format."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **{name: array}, **others)
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file({name: np.ascontiguousarray(array), **others}, path)
    else:
        held = {name: torch.tensor(array), **{key: torch.tensor(value) for key, value in others.items()}}
        torch.save(held if others else held[name], path)
    return path


@pytest.mark.parametrize("ending", [".npy", ".npz", ".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("form", ["float32", "float16", "float64", "int8", "uint8 images", "unit images"])
def test_every_form_of_one_poison_is_read_alike(
    tmp_path: Path, clean: ImageSet, ending: str, layout: str, form: str
) -> None:
    levels = np.rint(sinusoids(24, 8, 10, 8))
    expected = added(clean, levels)
    stored = {
        "float32": (levels / 255).astype(np.float32),
        "float16": (levels / 255).astype(np.float16),
        "float64": levels / 255,
        "int8": levels.astype(np.int8),
        "uint8 images": expected,
        "unit images": (expected / 255).astype(np.float32),
    }[form]
    stored = stored.transpose(0, 2, 3, 1) if layout == "NHWC" else stored
    poison = read_poison(save(tmp_path / f"poison{ending}", stored), clean)
    assert np.array_equal(poison.images.images.numpy(), expected)
    assert torch.equal(poison.images.labels, clean.labels)
    assert poison.kind == (PoisonKind.IMAGES if "images" in form else PoisonKind.PERTURBATION)
    assert poison.reading.endswith("levels" if "int" in form else "unit scale")
    assert poison.notes == ()


def test_fractions_are_added_before_they_are_rounded(tmp_path: Path, clean: ImageSet) -> None:
    levels = sinusoids(24, 8, 10, 7.9992)
    path = save(tmp_path / "delta.npy", (levels / 255).astype(np.float32))
    poison = read_poison(path, clean)
    assert np.array_equal(poison.images.images.numpy(), added(clean, levels))
    found = audit(poison.images, clean)
    assert found.max_change == 8  # truncating would leave 7
    assert 0.4 < found.negative_share < 0.6  # clamping before adding would leave 0


def test_levels_as_real_numbers_are_levels(tmp_path: Path, clean: ImageSet) -> None:
    levels = sinusoids(24, 8, 10, 8).astype(np.float32)
    poison = read_poison(save(tmp_path / "delta.npy", levels), clean)
    assert np.array_equal(poison.images.images.numpy(), added(clean, levels))
    assert poison.reading == "perturbation in levels"


@pytest.mark.parametrize("shape", [(24, 1, 8, 10), (24, 8, 10, 1), (24, 8, 10)])
def test_one_value_for_all_channels(tmp_path: Path, clean: ImageSet, shape: tuple[int, ...]) -> None:
    levels = np.rint(sinusoids(24, 8, 10, 8))[:, :1]
    poison = read_poison(save(tmp_path / "delta.npy", levels.reshape(shape).astype(np.int16)), clean)
    assert np.array_equal(poison.images.images.numpy(), added(clean, levels))


@pytest.mark.parametrize("form", ["a batch of CIFAR", "one of Python 3", "arrays"])
def test_rows_as_in_cifars_own_files(tmp_path: Path, clean: ImageSet, form: str) -> None:
    expected = added(clean, np.rint(sinusoids(24, 8, 10, 8)))
    rows, labels = expected.reshape(24, -1), clean.labels.tolist()
    path = tmp_path / ("rows.npz" if form == "arrays" else "data_batch_1.pkl")
    if form == "arrays":
        np.savez(path, data=rows, labels=labels)
    elif form == "one of Python 3":
        path.write_bytes(pickle.dumps({"data": rows, "fine_labels": labels, "filenames": ["a.png"] * 24}))
    else:
        path.write_bytes(pickle.dumps({b"data": rows, b"labels": labels, b"filenames": [b"a.png"] * 24}))
    poison = read_poison(path, clean)
    assert np.array_equal(poison.images.images.numpy(), expected)
    assert torch.equal(poison.images.labels, clean.labels)
    (note,) = poison.notes
    assert "all red values, then green, then blue" in note


def test_tensors_that_are_stored_in_other_ways(tmp_path: Path, clean: ImageSet) -> None:
    levels = np.rint(sinusoids(24, 8, 10, 8))
    torch.save(torch.tensor(levels).to_sparse(), tmp_path / "sparse.pt")
    poison = read_poison(tmp_path / "sparse.pt", clean)
    assert np.array_equal(poison.images.images.numpy(), added(clean, levels))
    torch.save(torch.empty(24, 3, 8, 10, device="meta"), tmp_path / "meta.pt")
    with pytest.raises(UleError, match="no tensor"):
        read_poison(tmp_path / "meta.pt", clean)


def test_what_is_no_array_of_numbers_is_refused_in_words(tmp_path: Path, clean: ImageSet) -> None:
    (tmp_path / "text.npy").write_text("a page of a web server")
    np.savez(tmp_path / "objects.npz", images=np.array([None, 1], dtype=object))
    names = np.array(clean.classes)[clean.labels.numpy()]
    np.savez(tmp_path / "names.npz", images=clean.images.numpy(), labels=names)
    for name, words in (("text.npy", "damaged"), ("objects.npz", "not loaded"), ("names.npz", "numbers of")):
        with pytest.raises(UleError, match=words) as refused:
            read_poison(tmp_path / name, clean)
        assert "unsafely" not in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_pipe_is_not_waited_for(tmp_path: Path, clean: ImageSet) -> None:
    os.mkfifo(tmp_path / "poison.npy")
    with pytest.raises(UleError, match="regular file"):
        read_poison(tmp_path / "poison.npy", clean)


def test_one_perturbation_for_each_class_goes_by_label(tmp_path: Path, clean: ImageSet) -> None:
    levels = np.rint(sinusoids(4, 8, 10, 8))
    poison = read_poison(save(tmp_path / "delta.pt", (levels / 255).astype(np.float32)), clean)
    assert np.array_equal(poison.images.images.numpy(), added(clean, levels[clean.labels.numpy()]))
    assert poison.reading == "perturbation in unit scale, one for each class"


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pt"])
def test_a_part_of_the_set_by_its_places(tmp_path: Path, clean: ImageSet, ending: str) -> None:
    places = np.array([20, 3, 7])
    whole = np.zeros((24, 3, 8, 10))
    whole[places] = np.rint(sinusoids(3, 8, 10, 8))
    for stored in (whole[places].astype(np.int8), added(clean, whole)[places]):
        poison = read_poison(save(tmp_path / f"part{ending}", stored, indices=places), clean)
        assert np.array_equal(poison.images.images.numpy(), added(clean, whole))


@pytest.mark.parametrize("name", ["data", "x", "noise", "delta", "perturbation", "Anything"])
def test_the_array_is_found_by_name(tmp_path: Path, clean: ImageSet, name: str) -> None:
    labels = clean.labels.numpy()
    path = save(tmp_path / "poison.npz", clean.images.numpy() ^ 1, name, targets=labels)
    poison = read_poison(path, clean)
    assert torch.equal(poison.images.images, clean.images ^ 1)
    assert poison.notes == ()


@pytest.mark.parametrize("holder", [list, tuple, "pair", "dict of lists", "old format", "bfloat16"])
def test_what_torch_users_save(tmp_path: Path, clean: ImageSet, holder: Any) -> None:
    delta = torch.from_numpy(np.rint(sinusoids(24, 8, 10, 8)))
    path = tmp_path / "delta.pt"
    labels = clean.labels.tolist()
    if holder == "pair":
        torch.save((delta / 255, clean.labels), path)
    elif holder == "dict of lists":
        torch.save({"x": list(delta / 255), "y": labels, "eps": 8}, path)
    elif holder == "old format":
        torch.save(delta / 255, path, _use_new_zipfile_serialization=False)
    elif holder == "bfloat16":
        safetensors.torch.save_file({"delta": delta.bfloat16()}, path.with_suffix(".safetensors"))
        path = path.with_suffix(".safetensors")
    else:
        torch.save(holder(delta / 255), path)
    assert np.array_equal(read_poison(path, clean).images.images.numpy(), added(clean, delta.numpy()))


def test_bytes_of_other_machines_and_column_order(tmp_path: Path, clean: ImageSet) -> None:
    levels = np.rint(sinusoids(24, 8, 10, 8))
    path = save(tmp_path / "delta.npy", np.asfortranarray(levels / 255).astype(">f4"))
    assert np.array_equal(read_poison(path, clean).images.images.numpy(), added(clean, levels))


def test_one_sided_noise_of_bytes_is_no_picture(tmp_path: Path, clean: ImageSet) -> None:
    path = save(tmp_path / "noise.npy", np.maximum(np.rint(sinusoids(24, 8, 10, 8)), 0).astype(np.uint8))
    poison = read_poison(path, clean)
    assert poison.kind is PoisonKind.PERTURBATION
    assert any("one-sided" in line for line in warnings(audit(poison.images, clean), 8))
    assert read_poison(path, clean, kind=PoisonKind.IMAGES).images.images.max() == 8


def test_labels_that_differ_are_reported_and_are_those_of_whole_images(
    tmp_path: Path, clean: ImageSet
) -> None:
    labels = clean.labels.numpy().copy()
    labels[5:7] = (labels[5:7] + 1) % 4
    poison = read_poison(save(tmp_path / "poison.npz", clean.images.numpy() ^ 1, y=labels), clean)
    assert poison.images.labels.tolist() == labels.tolist()
    assert torch.equal(poison.images.images, clean.images ^ 1)
    (note,) = poison.notes
    assert "labels don't match the poison: 2 of 24" in note
    assert "first that of image 5, and are trained on as they are there" in note
    assert poison.labels_differ == 2 / 24
    delta = np.rint(sinusoids(24, 8, 10, 8)).astype(np.int8)
    poison = read_poison(save(tmp_path / "delta.npz", delta, y=labels), clean)
    assert torch.equal(poison.images.labels, clean.labels)  # those of the images that it is added to
    assert "and are not used" in poison.notes[0] and poison.labels_differ == 2 / 24


@pytest.mark.parametrize(
    "form",
    [
        lambda labels: np.eye(4, dtype=np.float32)[labels],
        lambda labels: np.eye(4, dtype=bool)[labels],
        lambda labels: labels[:, None],
        lambda labels: labels.astype(np.float64),
        lambda labels: labels[:, None].astype(np.uint8),
    ],
    ids=["one-hot", "one-hot bool", "column", "real", "column of bytes"],
)
@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("x_train", "y_train")])
def test_labels_as_others_keep_them(
    tmp_path: Path, clean: ImageSet, form: Any, names: tuple[str, str]
) -> None:
    labels = clean.labels.numpy().copy()
    for wrong in (0, 1):
        labels[0] = (clean.labels[0] + wrong) % 4
        held = dict(zip(names, (clean.images.numpy() ^ 1, form(labels)), strict=True))
        np.savez(tmp_path / "poison.npz", **held)
        poison = read_poison(tmp_path / "poison.npz", clean)
        assert poison.images.labels.tolist() == labels.tolist()
        assert poison.labels_differ == wrong / 24


def test_images_and_labels_in_an_order_of_their_own(tmp_path: Path, clean: ImageSet) -> None:
    levels = np.rint(sinusoids(24, 8, 10, 8))
    order = np.random.default_rng(0).permutation(24)
    for kept in (order, order[:10]):
        path = save(tmp_path / "own.pt", added(clean, levels)[kept] / 255, labels=clean.labels.numpy()[kept])
        poison = read_poison(path, clean)
        expected = clean.images.numpy().copy()
        expected[kept] = added(clean, levels)[kept]
        assert np.array_equal(poison.images.images.numpy(), expected)
        assert torch.equal(poison.images.labels, clean.labels) and poison.labels_differ == 0
        assert poison.reading.endswith("in an order of their own") or len(kept) < 24
    assert "holds 10 of 24 images" in poison.notes[0]


def test_clean_images_beside_poisoned_ones_are_no_poison(tmp_path: Path, clean: ImageSet) -> None:
    held = {
        "adv_inputs": (clean.images ^ 1) / 255,
        "clean_inputs": clean.images / 255,
        "labels": clean.labels,
    }
    torch.save(held, tmp_path / "attacked.pt")
    assert torch.equal(read_poison(tmp_path / "attacked.pt", clean).images.images, clean.images ^ 1)


def test_class_wise_perturbations_in_an_order_of_their_own(tmp_path: Path, clean: ImageSet) -> None:
    levels, order = np.rint(sinusoids(4, 8, 10, 8)), np.array([2, 0, 3, 1])
    path = save(tmp_path / "delta.npz", levels[order].astype(np.int8), labels=order)
    poison = read_poison(path, clean)
    assert np.array_equal(poison.images.images.numpy(), added(clean, levels[clean.labels.numpy()]))
    assert poison.notes == ()


GOOD = np.rint(sinusoids(24, 8, 10, 8)).astype(np.float32) / 255


def spoilt(value: float) -> np.ndarray:
    bad = GOOD.copy()
    bad[17, 1, 2, 3] = value
    return bad


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (spoilt(np.nan), "NaN or infinity, first in image 17"),
        (spoilt(-np.inf), "NaN or infinity, first in image 17"),
        (spoilt(-256.0), "within -255 to 255"),
        (GOOD[:20], "holds 20 images where the training set has 24"),
        (GOOD[:, :, :, :9], r"shape \(24, 3, 8, 9\).*needs \(N, 3, 8, 10\) or \(N, 8, 10, 3\)"),
        (GOOD.reshape(24, -1), r"shape \(24, 240\)"),
        (np.float32(3), r"shape \(1,\)"),
        (GOOD[:0], "is empty"),
        (GOOD + 1j, "complex64 values"),
        (GOOD > 0, "bool values"),
        (GOOD.astype("U4"), "<U4 values"),
        (GOOD.astype(object), "can't be read.*Python objects"),
        (np.full((24, 3, 8, 10), 300), "images go from 0 to 255 or 0 to 1, these from 300 to 300"),
        (np.full((4, 3, 8, 10), 200, np.uint8), "holds 4 images where the training set has 24"),
    ],
)
def test_arrays_that_can_be_no_poison(
    tmp_path: Path, clean: ImageSet, array: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(UleError, match=message) as caught:
        read_poison(tmp_path / "bad.npy", clean)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.FAILED


@pytest.mark.parametrize("form", ["-1 to 1", "by mean and deviation"])
def test_normalised_images_are_not_taken_for_perturbations(
    tmp_path: Path, clean: ImageSet, form: str
) -> None:
    pixels = clean.images.numpy() / 255
    array = pixels * 2 - 1 if form == "-1 to 1" else (pixels - 0.45) / 0.25
    path = save(tmp_path / "images.npy", array.astype(np.float32))
    with pytest.raises(UleError, match=r"look like normalised images.*--poison-kind perturbation"):
        read_poison(path, clean)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"labels": np.zeros(23, np.int64)}, r"labels in .* are int64 \(23,\), not 24 integers"),
        ({"labels": np.full(24, 0.5)}, r"labels in .* are float64 \(24,\), not 24 integers"),
        ({"labels": np.full(24, np.nan)}, r"labels in .* are float64 \(24,\), not 24 integers"),
        ({"labels": np.full((24, 4), 0.25)}, "no row of them has a single 1"),
        (
            {"labels": np.full(24, 4)},
            "labels in .* go from 4 to 4, but those of the training set from 0 to 3",
        ),
        ({"labels": np.eye(5)[np.full(24, 4)]}, "labels in .* go from 4 to 4"),
        ({"indices": np.arange(24) + 1}, "24 different ones of 0 to 23"),
        ({"indices": np.arange(24) // 2}, "24 different ones of 0 to 23"),
        ({"indices": np.arange(24) - 1}, "24 different ones of 0 to 23"),
        ({"indices": np.arange(23)}, r"indices in .* are int64 \(23,\)"),
        ({"delta": GOOD}, "holds delta, images; keep one array"),
        ({"labels": np.arange(24), "y": np.arange(24)}, "keep one array"),
    ],
)
@pytest.mark.parametrize("ending", [".npz", ".pt"])
def test_arrays_that_do_not_fit_together(
    tmp_path: Path, clean: ImageSet, others: dict[str, np.ndarray], message: str, ending: str
) -> None:
    path = save(tmp_path / f"bad{ending}", GOOD, **others)
    with pytest.raises(UleError, match=message):
        read_poison(path, clean)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".safetensors", ".pt"])
@pytest.mark.parametrize("damage", ["truncated", "cut short", "garbage", "nothing"])
def test_damaged_files_are_one_line(tmp_path: Path, clean: ImageSet, ending: str, damage: str) -> None:
    path = save(tmp_path / f"bad{ending}", GOOD)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[: len(whole) * 2 // 3],
            "cut short": whole[:20],
            "garbage": b"<html>the file you asked for is gone</html>",
            "nothing": b"",
        }[damage]
    )
    with pytest.raises(UleError, match=r"can't be read \(.+\); fetch it anew|is damaged or holds") as caught:
        read_poison(path, clean)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_an_archive_is_found(tmp_path: Path, clean: ImageSet) -> None:
    path = save(tmp_path / "bad.npz", np.random.default_rng(0).random(GOOD.shape))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 16
    path.write_bytes(whole)
    with pytest.raises(UleError, match="fetch it anew"):
        read_poison(path, clean)


class Trap:
    """An object whose unpickling would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["trap.pt", "trap.pth", "trap.npy", "trap.pkl", "trap.pickle", "trap.npz"])
def test_nothing_that_is_read_can_run_code(tmp_path: Path, clean: ImageSet, name: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    if path.suffix in (".pkl", ".pickle"):
        path.write_bytes(pickle.dumps(Trap(mark)))
    elif path.suffix == ".npy":
        np.save(path, np.array([Trap(mark)], object))
    elif path.suffix == ".npz":
        np.savez(path, images=np.array([Trap(mark)], object))
    else:
        torch.save({"images": Trap(mark)}, path)
    with pytest.raises(UleError) as caught:
        read_poison(path, clean)
    assert not mark.exists()
    assert "\n" not in str(caught.value)


def test_what_is_not_there_or_of_no_known_kind(tmp_path: Path, clean: ImageSet) -> None:
    with pytest.raises(NoSuchPath, match="there is no poison"):
        read_poison(tmp_path / "nowhere.npy", clean)
    (tmp_path / "poison.mat").write_bytes(b"MATLAB")
    with pytest.raises(
        UleError, match=r"\.npy, \.npz, \.safetensors, \.pt, \.pth, \.pkl, \.pickle, or a folder"
    ):
        read_poison(tmp_path / "poison.mat", clean)
    np.save(tmp_path / "poison.npy", GOOD)
    (tmp_path / "poison.npy").rename(tmp_path / "poison.npz")
    with pytest.raises(UleError, match=r"is no \.npz archive"):
        read_poison(tmp_path / "poison.npz", clean)
    torch.save({"epoch": 3}, tmp_path / "poison.pt")
    with pytest.raises(UleError, match="holds nothing; keep one array"):
        read_poison(tmp_path / "poison.pt", clean)
    torch.save([torch.zeros(3), torch.zeros(2)], tmp_path / "poison.pt")
    with pytest.raises(UleError, match="no list of tensors of one shape"):
        read_poison(tmp_path / "poison.pt", clean)


def test_images_as_the_user_says_must_be_images(tmp_path: Path, clean: ImageSet) -> None:
    path = save(tmp_path / "delta.npy", GOOD)
    with pytest.raises(UleError, match=r"images go from 0 to 255 or 0 to 1, these from -0\.03"):
        read_poison(path, clean, kind=PoisonKind.IMAGES)
    class_wise = save(tmp_path / "classes.npy", GOOD[:4])
    with pytest.raises(UleError, match="holds 4 images where the training set has 24"):
        read_poison(class_wise, clean, kind=PoisonKind.IMAGES)


@pytest.mark.slow
def test_the_published_form_on_cifar10(tmp_path: Path) -> None:
    """float32 (50000, 3, 32, 32), signed, unit scale, as EM and ULEO are published; then their own images."""
    if not (default_root() / "cifar-10-batches-py").is_dir():
        pytest.skip("no CIFAR-10 in ULECLI_DATA")
    clean = cifar10(default_root(), train=True)
    levels = np.rint(sinusoids(10, 32, 32, 8)).astype(np.float32)[clean.labels.numpy()]
    levels[::2] *= -1  # not class-wise
    path = save(tmp_path / "perturbation.pt", levels / 255)
    poison = read_poison(path, clean)
    some = np.arange(3, 50_000, 11)
    pixels = clean.images[some].numpy()
    expected = np.clip(pixels + levels[some], 0, 255).astype(np.uint8)
    assert np.array_equal(poison.images.images[some].numpy(), expected)
    assert poison.reading == "perturbation in unit scale"
    found = audit(poison.images, clean, source=str(path), kind=poison.reading)
    assert (found.max_change, found.changed_share, found.classwise) == (8, 1, False)
    assert found.nearer_to_others == 0
    assert warnings(found, 8) == ()

    published = np.clip(pixels + np.clip(levels[some], 0, 255), 0, 255).astype(np.uint8)
    clean = clean.subset(torch.from_numpy(some))
    theirs = read_poison(save(tmp_path / "images.npy", published.transpose(0, 2, 3, 1)), clean)
    assert np.array_equal(theirs.images.images.numpy(), published)
    (line,) = warnings(audit(theirs.images, clean), 8)
    assert line.startswith("one-sided")
