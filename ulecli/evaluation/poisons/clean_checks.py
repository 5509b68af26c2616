"""Whether what is called clean is clean, and the test set none of the training."""

from __future__ import annotations

from pathlib import Path

from ulecli.data.folder import picture_files
from ulecli.data.images import ImageSet
from ulecli.errors import shown
from ulecli.formats.audit import is_protected

_SHARED = 0.01
"""A larger share of test images among the training images is no accident of the data set."""


def same_images(first: ImageSet, second: ImageSet) -> int:
    """Count the images of `second` that are in `first` too, value by value."""
    if first.images.shape[1:] != second.images.shape[1:]:
        return 0
    known = {image.numpy().tobytes() for image in first.images}
    return sum(image.numpy().tobytes() in known for image in second.images)


def check_test_set(test: ImageSet, train: ImageSet) -> tuple[str, ...]:
    """Warn of a test set that is trained on; one line, or none if all is well.

    Args:
        test: What accuracy will be measured on.
        train: What an exploiter will train on, poisoned or not.
    """
    shared = same_images(train, test)
    if shared <= _SHARED * len(test):
        return ()
    return (f"{shared} of {len(test)} test images are training images: its accuracy says nothing",)


def check_clean(folder: Path) -> tuple[str, ...]:
    """Warn of photos in a clean data set that bear the mark of `ulecli protect`; one line or none.

    Raises:
        OSError: A photo can't be read.
    """
    photos = picture_files(folder)
    marked = sum(map(is_protected, photos))
    if not marked:
        return ()
    return (
        f"{marked} of {len(photos)} photos in {shown(folder)} are marked as protected, but controls and test "
        "images must be clean: name the folder of the originals",
    )
