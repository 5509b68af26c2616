"""Handlers for the tests of isolated workers: what a process does that a file has taken over, and others."""

from __future__ import annotations

import ctypes
import os
import pickle
import socket
import stat
import struct
import subprocess
import time
from pathlib import Path

import numpy as np

from ulecli.errors import PhotoSkipped
from ulecli.system.plain_data import Message
from ulecli.system.serving import Ask, Handler

MARK = "a worker's pickle was loaded"


class Code:
    """What a pickle can be: code that runs where it is loaded."""

    def __reduce__(self) -> tuple:
        return (os.putenv, ("ULECLI_TEST_PICKLE", MARK))


def frame(header: bytes, content: bytes = b"", magic: bytes = b"ule\1") -> bytes:
    return struct.pack("!4sIQ", magic, len(header), len(content)) + header + content


RAW = {
    "a pickle": pickle.dumps(Code()),
    "a pickle in a frame": frame(pickle.dumps(Code())),
    "a header beyond its limit": struct.pack("!4sIQ", b"ule\1", 1 << 31, 0),
    "content beyond its limit": struct.pack("!4sIQ", b"ule\1", 2, 1 << 60) + b"{}",
    "no JSON": frame(b"{"),
    "no dict": frame(b"[]"),
    "deep nesting": frame(b"[" * 100_000),
    "an object's array": frame(b'{"kind":"question","content":{"image":{"":["object",[1]]}}}', bytes(8)),
    "more than its content": frame(b'{"kind":"answer","content":{"x":{"":["uint8",[9]]}}}', b"abc"),
    "less than its content": frame(b'{"kind":"answer","content":{}}', b"abc"),
    "a negative side": frame(b'{"kind":"answer","content":{"x":{"":["uint8",[-1]]}}}', b""),
    "another kind": frame(b'{"kind":"run","content":{}}'),
    "a second start": frame(b'{"kind":"started","content":{"in_force":[]}}'),
    "a reason that is none": frame(b'{"kind":"failed","content":{"reason":{"":["bytes",[1]]}}}', b"x"),
}
"""What the main process must refuse whatever it asked for."""

IMAGE = np.full((3, 32, 32), 0.5, np.float32)
AMPLITUDES = np.full((1, 32, 32), 2.0, np.float32)
SAMPLE: Message = {"image": IMAGE, "amplitudes": AMPLITUDES, "aspect": 1.0}
QUESTIONS: dict[str, Message] = {
    "levels that are no number": {**SAMPLE, "image": np.full_like(IMAGE, np.nan)},
    "levels out of range": {**SAMPLE, "image": IMAGE * 9},
    "levels below 0": {**SAMPLE, "image": -IMAGE},
    "another type": {**SAMPLE, "image": IMAGE.astype(np.uint8)},
    "another size": {**SAMPLE, "image": IMAGE[:, :-1]},
    "cells that are too few": {**SAMPLE, "image": IMAGE[:, :8, :8], "amplitudes": AMPLITUDES[:, :8, :8]},
    "cells that are too many": {
        **SAMPLE,
        "image": np.full((3, 33, 33), 0.5, np.float32),
        "amplitudes": np.full((1, 33, 33), 2.0, np.float32),
    },
    "no cells": {**SAMPLE, "image": IMAGE[:, :0, :0], "amplitudes": AMPLITUDES[:, :0, :0]},
    "words for an image": {**SAMPLE, "image": "an image"},
    "no image": {"amplitudes": AMPLITUDES, "aspect": 1.0},
    "no shape": {**SAMPLE, "aspect": float("nan")},
    "a picture without a height": {**SAMPLE, "aspect": float("inf")},
    "a picture without a width": {**SAMPLE, "aspect": 0.0},
    "no aspect": {"image": IMAGE, "amplitudes": AMPLITUDES},
    "amplitudes of another type": {**SAMPLE, "amplitudes": AMPLITUDES.astype(np.int8)},
    "amplitudes of another size": {**SAMPLE, "amplitudes": AMPLITUDES[:, :-1]},
    "amplitudes for each channel": {**SAMPLE, "amplitudes": np.repeat(AMPLITUDES, 3, axis=0)},
    "amplitudes that are no number": {**SAMPLE, "amplitudes": np.full_like(AMPLITUDES, np.nan)},
    "amplitudes beyond the bound": {**SAMPLE, "amplitudes": AMPLITUDES * 5},
    "amplitudes below 0": {**SAMPLE, "amplitudes": -AMPLITUDES},
    "amplitudes of nothing": {**SAMPLE, "amplitudes": AMPLITUDES * 0},
    "no amplitudes": {"image": IMAGE, "aspect": 1.0},
    "a sample and more": {**SAMPLE, "more": 1},
}
STAMP = {"size": 1, "mtime_ns": 1, "ctime_ns": 0, "sha256": bytes(32)}
MEASURED = {"width": 1, "height": 1, "max_change": 8, "psnr_db": 30.0}
MEASURED |= {"max_change_on_disk": None, "psnr_db_on_disk": None}
MADE = {"source": STAMP, "sha256": bytes(32), "measured": MEASURED, "remarks": ["x"]}
ANSWERS: dict[str, Message] = {
    "nothing": {},
    "a field more": {**MADE, "more": 1},
    "a hash that is text": {**MADE, "sha256": "0" * 32},
    "a short hash": {**MADE, "sha256": b"0"},
    "a change beyond the bound": {**MADE, "measured": {**MEASURED, "max_change": 9}},
    "a change that is no number": {**MADE, "measured": {**MEASURED, "psnr_db": float("nan")}},
    "a width that is none": {**MADE, "measured": {**MEASURED, "width": 0}},
    "a width that is a word": {**MADE, "measured": {**MEASURED, "width": "1"}},
    "remarks that are one": {**MADE, "remarks": "x"},
    "a remark that is an array": {**MADE, "remarks": [IMAGE]},
}
"""What `protect` must refuse as a question and as an answer."""

BAD_MEASURES: dict[str, Message] = {
    "a field less": {"drop": "leaks"},
    "no number": {"psnr_db": float("nan")},
    "less than nothing": {"psnr_db": -1.0},
    "beyond the levels": {"max_change": 256},
    "too alike": {"ssim": 2.0},
    "nothing measured": {"max_change": None},
    "no format": {"format": "EXE"},
    "three sides": {"size": [1, 2, 3]},
    "no side": {"size": [0, 2]},
    "a mark of no bound": {"mark_epsilon": 99},
    "what nobody asked for": {"seen": IMAGE, "variants": ["file"]},
    "pictures nobody asked for": {"drawn": [IMAGE]},
    "a visibility nobody asked for": {"visibility": {"ssimulacra2": 90.0, "flip": 0.1}},
    "leaks that are bytes": {"leaks": [b"x"]},
}
"""What `verify` must refuse: in place of a right answer's fields."""

BAD_VISIBILITIES: dict[str, Message] = {
    "no visibility": {"visibility": None},
    "a field less of it": {"visibility": {"flip": 0.1}},
    "beyond the best": {"visibility": {"ssimulacra2": 100.5, "flip": 0.1}},
    "worse than anything": {"visibility": {"ssimulacra2": float("-inf"), "flip": 0.1}},
    "no score": {"visibility": {"ssimulacra2": float("nan"), "flip": 0.1}},
    "a negative error": {"visibility": {"ssimulacra2": 90.0, "flip": -0.1}},
    "an error beyond 1": {"visibility": {"ssimulacra2": 90.0, "flip": 1.5}},
}
"""The same where visibility was asked for."""

VIEW = {"width": 9, "height": 9, "after": b"\xff\xd8\xff", "before": b""}
BAD_CARDS: dict[str, Message] = {
    "no picture": {"fitted": {**VIEW, "after": b"<script>"}},
    "no picture before": {"fitted": {**VIEW, "before": b"<script>"}},
    "a picture that is too large": {"fitted": {**VIEW, "width": 1081}},
    "a picture without a side": {"fitted": {**VIEW, "height": 0}},
    "a width that is a word": {"fitted": {**VIEW, "width": "1;"}},
    "a close view of one picture": {"close": VIEW},
    "words": {"change": "data:"},
    "nan": {"psnr_db": float("nan")},
    "a visibility nobody asked for": {"visibility": {"ssimulacra2": 90.0, "flip": 0.1}},
}
"""What `report` must refuse: in place of a right answer's fields."""


def raw(content: bytes) -> None:
    """Write to the pipe of the answers, past all that is there for it."""
    for number in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, content)
        except OSError:
            continue
    time.sleep(60)


def odd() -> Handler:
    """Return a handler that does what the request names."""

    def handle(request: Message, ask: Ask) -> Message:
        name = request["do"]
        if name in RAW:
            raw(RAW[name])
        if name == "die":
            os.abort()
        if name == "exit":
            os._exit(7)
        if name == "hang":
            time.sleep(60)
        if name == "skip":
            raise PhotoSkipped("is left alone")
        if name == "grow":
            return {"size": len(bytearray(request["size"]))}
        if name == "ask":
            return ask({"of": request["of"]})
        if name == "crash by a signal that is refused":
            ctypes.string_at(0)
        return request

    return handle


def evil_photos() -> Handler:
    """Return what protects photos, and for some does what a process does that they have taken over."""
    from ulecli.protection.worker import photo_handler

    good = photo_handler()
    names = [*RAW, *QUESTIONS, *ANSWERS]

    def handle(request: Message, ask: Ask) -> Message:
        stem = Path(request["photo"]["path"]).stem
        if stem in ("fine", "asking"):
            return SAMPLE if stem == "fine" else ask(SAMPLE)
        if not stem.isdigit():
            return good(request, ask)
        name = names[int(stem)]
        if name in RAW:
            raw(RAW[name])
        if name in QUESTIONS:
            return QUESTIONS[name] if request["sampled"] else ask(QUESTIONS[name])
        return ANSWERS[name]

    return handle


def confined() -> Handler:
    """Return a handler that tries what a confined process is refused, and says with what error."""

    def attempt(name: str, folder: Path) -> object:
        if name == "a socket":
            return socket.socket()
        if name == "a local socket":
            return socket.socket(socket.AF_UNIX)
        if name == "a program":
            return subprocess.run(["/bin/true"], check=True)
        if name == "a new file":
            return (folder / "new").write_bytes(b"x")
        if name == "a longer file":
            return (folder / "there").open("ab").write(b"x")
        if name == "a shorter file":
            return os.truncate(folder / "there", 0)
        if name == "a removed file":
            return (folder / "there").unlink()
        if name == "a moved file":
            return (folder / "there").rename(folder / "moved")
        if name == "a new folder":
            return (folder / "folder").mkdir()
        if name == "a link":
            return (folder / "link").symlink_to("there")
        if name == "another process's memory":
            return Path(f"/proc/{os.getppid()}/mem").open("rb")
        if name == "a signal":
            return os.kill(os.getppid(), 0)
        assert name == "a look"
        return (folder / "there").read_bytes()

    def handle(request: Message, ask: Ask) -> Message:
        try:
            attempt(request["do"], Path(request["folder"]))
        except OSError as error:
            return {"error": error.errno}
        return {"error": 0}

    return handle


def evil_pairs() -> Handler:
    """Return what measures pairs, and for some dies, hangs or lies."""
    from ulecli.verification.measure import handler

    good = handler()

    def handle(request: Message, ask: Ask) -> Message:
        name = Path(request["protected"]).stem
        if name == "die":
            os.abort()
        if name == "hang":
            time.sleep(60)
        changes = (BAD_MEASURES | BAD_VISIBILITIES).get(name, {})
        found = {**good(request, ask), **changes}
        return {key: value for key, value in found.items() if key not in ("drop", changes.get("drop"))}

    return handle


def evil_cards() -> Handler:
    """Return what draws photos, and for some dies, hangs or lies."""
    from ulecli.report.drawing import handler

    good = handler()

    def handle(request: Message, ask: Ask) -> Message:
        name = Path(request["target"]).stem
        if name == "die":
            os.abort()
        if name == "hang":
            time.sleep(60)
        return {**good(request, ask), **BAD_CARDS.get(name, {})}

    return handle
