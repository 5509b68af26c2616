from __future__ import annotations

import io
import math
import os
import pickle
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from typing_extensions import TypeAliasType

from ulecli.system.plain_data import DTYPES, BadMessage, plain, receive, restored, send

WORDS = st.text(st.characters(codec=None))
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | WORDS
    | st.binary()
    | st.sampled_from(DTYPES).flatmap(
        lambda name: arrays.arrays(name, arrays.array_shapes(max_dims=4, max_side=3))
    ),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS.filter(bool), inner),
    max_leaves=6,
)


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        equal = isinstance(other, np.ndarray) and one.dtype == other.dtype
        return equal and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[x], other[x]) for x in one)
        )
    return type(one) is type(other) and one == other


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(WORDS.filter(bool), PLAIN), max_size=3))
def test_messages_come_as_they_went(messages):
    pipe = io.BytesIO()
    for message in messages:
        send(pipe, message)
    pipe.seek(0)
    for message in messages:
        assert same(message, receive(pipe))
    with pytest.raises(EOFError):
        receive(pipe)


@given(st.binary(max_size=300), st.integers(0, 200))
def test_damage_is_a_bad_message_or_an_end_and_nothing_else(noise, place):
    pipe = io.BytesIO()
    send(pipe, {"image": np.zeros((3, 4), np.float32), "words": ["a", None, 1.5]})
    content = pipe.getvalue()
    for damaged in (noise, content[:place] + noise + content[place + len(noise) :]):
        try:
            found = receive(io.BytesIO(damaged))
        except (BadMessage, EOFError):
            continue
        assert isinstance(found, dict)


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {"": 1}, {1, 2}, np.zeros(2), np.array([None]), Path("x"), lambda: 0]
)
def test_only_plain_data_is_sent(value):
    with pytest.raises(TypeError):
        send(io.BytesIO(), {"x": value})


def test_no_pickle_is_read():
    with pytest.raises(BadMessage):
        receive(io.BytesIO(pickle.dumps({"x": 1}) * 9))


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    path: Path
    colour: Colour


@dataclass(frozen=True)
class Record:
    inner: Inner
    many: tuple[Inner, ...]
    number: int
    ratio: float
    content: bytes
    flag: bool
    perhaps: float | None
    words: dict[str, int | str]
    image: np.ndarray


INNER = Inner(Path(os.fsdecode(b"/a/\xff\n")), Colour.RED)
RECORD = Record(INNER, (INNER,), 3, math.inf, b"x", True, None, {"a": 1, "b": "c"}, np.zeros(2, np.int8))


Scalar = TypeVar("Scalar", bound=np.generic)
Array = TypeAliasType("Array", np.ndarray[Any, np.dtype[Scalar]], type_params=(Scalar,))
Number = TypeAliasType("Number", int)


@dataclass
class Named:
    image: Array[np.int8]
    number: Number


def test_names_for_types_stand_for_what_they_name():
    """numpy 2.5 names its arrays so, on Python 3.12 and later."""
    record = Named(np.zeros(2, np.int8), 3)
    found = restored(Named, through_a_pipe(plain(record)))
    assert np.array_equal(found.image, record.image) and found.number == 3
    for wrong in ({"image": b"x", "number": 3}, {"image": record.image, "number": 1.5}):
        with pytest.raises(BadMessage):
            restored(Named, wrong)


def through_a_pipe(message: dict) -> dict:
    pipe = io.BytesIO()
    send(pipe, message)
    pipe.seek(0)
    return receive(pipe)


def test_a_record_comes_back():
    found = restored(Record, through_a_pipe(plain(RECORD)))
    assert np.array_equal(found.image, RECORD.image)
    assert all(getattr(found, name) == getattr(RECORD, name) for name in vars(RECORD) if name != "image")
    assert type(found.inner.path) is type(RECORD.inner.path) and found.inner.colour is Colour.RED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", 1.0),
        ("number", True),
        ("number", "1"),
        ("ratio", math.nan),
        ("ratio", "1"),
        ("ratio", True),
        ("content", "x"),
        ("flag", 1),
        ("perhaps", "x"),
        ("perhaps", math.nan),
        ("many", {}),
        ("many", [None]),
        ("inner", {"path": "x"}),
        ("inner", {"path": "x", "colour": "blue"}),
        ("inner", {"path": b"x", "colour": "red"}),
        ("inner", []),
        ("words", {"a": None}),
        ("image", b"x"),
        ("more", 1),
    ],
)
def test_a_record_of_other_content_is_refused(name, value):
    with pytest.raises(BadMessage):
        restored(Record, {**plain(RECORD), name: value})
    with pytest.raises(BadMessage):
        restored(Record, [plain(RECORD)])
