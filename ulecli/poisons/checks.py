"""Whether the test set is what it should be: clean, and none of the training."""

from __future__ import annotations

from ulecli.data import ImageSet

_SHARED = 0.01
"""A larger share of test images among the training images is no accident of the data set."""


def same_images(first: ImageSet, second: ImageSet) -> int:
    """Count the images of `second` that are in `first` too, value by value."""
    if first.images.shape[1:] != second.images.shape[1:]:
        return 0
    known = {image.numpy().tobytes() for image in first.images}
    return sum(image.numpy().tobytes() in known for image in second.images)


def check_test_set(test: ImageSet, train: ImageSet, *, official: ImageSet | None = None) -> tuple[str, ...]:
    """Warn of a test set that was poisoned by mistake, or trained on; one line each, empty if all is well.

    Args:
        test: What accuracy will be measured on.
        train: What an exploiter will train on, poisoned or not.
        official: The test set as published, where there is one.
    """
    found = []
    shared = same_images(train, test)
    if shared > _SHARED * len(test):
        found.append(f"{shared} of {len(test)} test images are training images: its accuracy says nothing")
    if official is not None:
        if official.images.shape != test.images.shape:
            changed = len(test)
        else:
            changed = int((official.images != test.images).flatten(1).any(1).sum())
        if changed:
            found.append(
                f"{changed} of {len(test)} test images are not the official ones; protection counts on clean "
                "test images alone"
            )
    return tuple(found)
