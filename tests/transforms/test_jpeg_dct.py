from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from ulecli.errors import UsageError
from ulecli.transforms.jpeg_dct import _DCT, jpeg_codec, jpeg_dct, quantisation_tables
from ulecli.transforms.quantise import whole_levels

QUALITIES = (1, 10, 30, 50, 75, 90, 95, 100)


def pictures(channels: int, height: int = 64, width: int = 64) -> torch.Tensor:
    """Return 16 images of whole levels: smooth, noisy, both, and black and white dots."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, channels, 6, 6, generator=generator)
    smooth = functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    noise = torch.rand(4, channels, height, width, generator=generator)
    both = (smooth + 0.1 * (noise - 0.5)).clamp(0, 1)
    return whole_levels(torch.cat([smooth, noise, both, (noise > 0.5).float()]).double()) / 255


def pillow(image: torch.Tensor, mode: str, quality: int, **options: object) -> torch.Tensor:
    """Return (C, H, W) unit scale: one image stored and read by Pillow in the plainest way."""
    pixels = (image * 255).round().to(torch.uint8).expand(3, -1, -1).movedim(0, 2).numpy()
    file = BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=quality, **options)
    stored = torch.from_numpy(np.array(Image.open(file)))
    return (stored[None] if stored.ndim == 2 else stored.movedim(2, 0)).double() / 255


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_codec_equals_pillow(subsampling):
    images = pictures(3, 33, 47)
    expected = torch.stack([pillow(image, "RGB", 60, subsampling=subsampling) for image in images])
    assert torch.equal(jpeg_codec(images, 60, subsampling=subsampling), expected)


@pytest.mark.parametrize("threads", [2, 5, 64])
def test_codec_keeps_the_order_on_any_number_of_threads(threads, monkeypatch):
    images = pictures(3, 16, 24)
    expected = torch.cat([jpeg_codec(image[None], 60) for image in images])
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(jpeg_codec(images, 60), expected)


@pytest.mark.parametrize("quality", QUALITIES)
def test_codec_of_one_channel_is_the_luma_of_a_colour_file(quality):
    images = pictures(1, 33, 47)
    in_colour = torch.stack([pillow(image, "RGB", quality, subsampling="4:2:0") for image in images])
    assert torch.equal(in_colour, jpeg_codec(images, quality).expand(-1, 3, -1, -1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (61, 50), (33, 47), (17, 8), (5, 5)])
@pytest.mark.parametrize("quality", QUALITIES)
def test_dct_in_double_precision_is_the_codec_bit_by_bit(channels, size, quality):
    images = pictures(channels, *size)
    assert torch.equal(jpeg_dct(images, quality), jpeg_codec(images, quality))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", QUALITIES)
def test_dct_in_single_precision_is_the_codec_but_for_ties(channels, quality):
    # The second pass adds numbers up to 2**28 where float32 holds 2**24: a few sums cross a tie.
    images = pictures(channels).float()
    difference = (jpeg_dct(images, quality) - jpeg_codec(images, quality)).abs() * 255
    assert difference.max() <= 3
    assert (difference > 0.5).float().mean() <= 2e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dct_in_half_precision_computes_in_single(dtype):
    images = pictures(3)
    seen = jpeg_dct(images.to(dtype), 50)
    assert seen.dtype == dtype
    assert torch.equal(seen, jpeg_dct(images.float(), 50).to(dtype))


def test_dct_is_not_touched_by_mixed_precision():
    images = pictures(3).float()
    expected = jpeg_dct(images, 50)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(jpeg_dct(images, 50), expected)


def test_dct_keeps_no_graph_for_a_gradient():
    for channels in (1, 3):
        assert not jpeg_dct(pictures(channels).requires_grad_(), 30).requires_grad


def test_the_transform_is_orthogonal_and_close_to_the_ideal_one():
    dct = torch.tensor(_DCT, dtype=torch.float64) / 2**13 / 8**0.5
    torch.testing.assert_close(dct.mT @ dct, torch.eye(8, dtype=torch.float64), atol=1e-4, rtol=0)
    turns = (2 * torch.arange(8, dtype=torch.float64) + 1) * torch.arange(8)[:, None] / 16
    ideal = (turns * torch.pi).cos() * torch.tensor([0.5**0.5] + [1.0] * 7)[:, None] / 2
    torch.testing.assert_close(dct, ideal, atol=6e-5, rtol=0)


def test_tables_are_those_that_pillow_writes():
    picture = Image.new("RGB", (8, 8))
    for quality in range(1, 101):
        file = BytesIO()
        picture.save(file, "JPEG", quality=quality)
        written = Image.open(file).quantization
        for index, table in enumerate(quantisation_tables(quality)):
            assert table.flatten().tolist() == list(written[index])


@pytest.mark.parametrize("function", [jpeg_codec, jpeg_dct])
def test_values_between_and_beyond_levels_are_stored_as_a_file_would(function):
    images = pictures(3, 16, 16)
    off = images + 0.3 / 255 + torch.where(images == 1, 0.5, 0.0)
    assert torch.equal(function(off, 80), function(images, 80))


@pytest.mark.parametrize("function", [jpeg_codec, jpeg_dct])
def test_empty_batch(function):
    for channels in (1, 3):
        assert function(torch.rand(0, channels, 16, 16), 50).shape == (0, channels, 16, 16)


@pytest.mark.parametrize("function", [jpeg_codec, jpeg_dct])
def test_misuse(function):
    with pytest.raises(UsageError, match="must be 1 to 100"):
        function(torch.rand(1, 1, 8, 8), 0)
    with pytest.raises(UsageError, match="must be 1 to 100"):
        function(torch.rand(1, 1, 8, 8), 101)
    with pytest.raises(ValueError, match="C of 1 or 3"):
        function(torch.rand(1, 2, 8, 8), 50)
    with pytest.raises(ValueError, match="unit scale"):
        function(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 50)


def test_unknown_subsampling():
    with pytest.raises(UsageError, match="4:4:4, 4:2:2, 4:2:0"):
        jpeg_codec(torch.rand(1, 3, 8, 8), 50, subsampling="4:1:1")
