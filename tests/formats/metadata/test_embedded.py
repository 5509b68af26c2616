from __future__ import annotations

import io

import pytest
from conftest import scene
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ulecli.formats.metadata import embedded


def jpeg() -> bytes:
    whole = io.BytesIO()
    scene().save(whole, "JPEG")
    return whole.getvalue()


def test_a_stream_is_told_from_bytes_that_look_like_one():
    whole = jpeg()
    data = b"\xff\xd8\xff\xe0 no" + bytes(40) + whole + b"after"
    first = data.index(whole)
    assert list(embedded.streams(data)) == [(first, first + len(whole))]
    altered = b"\x00" + whole[1:]  # as some makers store previews
    assert list(embedded.streams(altered)) == [(0, len(altered))]


@pytest.mark.parametrize("count", [1, 3, 60])
@pytest.mark.parametrize("marker", [b"\xff\xe0", b"\xff\xdb", b"\xff\xda"], ids=["APP0", "DQT", "SOS"])
def test_fill_bytes_before_a_marker_hide_no_picture(count, marker):
    whole = jpeg()
    place = whole.index(marker)
    filled = whole[:place] + b"\xff" * count + whole[place:]
    with Image.open(io.BytesIO(filled)) as opened:
        opened.load()
    assert list(embedded.streams(b"before" + filled + b"after")) == [(6, 6 + len(filled))]


@given(
    st.lists(
        st.sampled_from([b"\xff", b"\xd8", b"\xff\xd8\xff\xe0\0\4", b"\xff\xd9", b"\xff\xda\0\2", b"\0"])
    )
)
def test_streams_lie_apart_and_within(parts):
    data = b"".join(parts)
    found = [0, *(place for stream in embedded.streams(data) for place in stream), len(data)]
    assert found == sorted(found)


def test_base64_goes_and_the_text_around_it_stays():
    text = "before, " + "QUJD" * 400 + " , after"
    assert embedded.without_base64(text) == "before,, after"
    assert embedded.without_base64("short") == "short"
    assert embedded.holds_base64(text.encode()) and embedded.holds_base64(text.encode("utf-16"))


@given(st.text(alphabet="Aa+/ \n,<", max_size=3000))
def test_what_is_left_holds_no_base64(text):
    assert not embedded.holds_base64(embedded.without_base64(text).encode())
