from __future__ import annotations

import numpy as np
import pytest
from conftest import scene
from PIL import Image

from ulecli.imaging.figure import shrunk
from ulecli.imaging.ssim import ssim_map
from ulecli.imaging.weakest import weakest_window


@pytest.mark.parametrize(("width", "height"), [(3000, 2001), (2001, 3000), (900, 700)])
@pytest.mark.parametrize("place", [(0.1, 0.2), (0.97, 0.96)])
def test_the_place_that_was_changed_is_found(width, height, place):
    before = scene(width, height)
    pixels = np.array(before)
    left, top = int(place[0] * width), int(place[1] * height)
    pixels[top : top + 60, left : left + 60] //= 2
    shown = (shrunk(picture, 1080) for picture in (before, Image.fromarray(pixels)))
    window = weakest_window(ssim_map(*shown), (width, height), 400)
    assert (window[2] - window[0], window[3] - window[1]) == (400, 400)
    near = 10  # pixels: the places of the search are those of the picture on the screen
    assert 0 <= window[0] <= left + near and min(left + 60, width) - near <= window[2] <= width
    assert 0 <= window[1] <= top + near and min(top + 60, height) - near <= window[3] <= height


def test_against_every_window():
    before = scene(60, 40)
    after = scene(60, 40, seed=1)
    after.paste((9, 9, 9), (31, 7, 43, 19))
    similar = ssim_map(before, after)
    means = {
        (left, top): similar[top : top + 16, left : left + 16].mean()
        for top in range(40 - 16 + 1)
        for left in range(60 - 16 + 1)
    }
    assert weakest_window(similar, (60, 40), 16)[:2] == min(means, key=means.get)


@pytest.mark.parametrize("size", [(1, 1), (5, 2000), (300, 200)])
def test_of_a_small_photo_all_that_is_there(size):
    left, top, right, bottom = weakest_window(ssim_map(scene(*size), scene(*size, seed=1)), size, 480)
    assert (right - left, bottom - top) == (min(480, size[0]), min(480, size[1]))
    assert left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1]
