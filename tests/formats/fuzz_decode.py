"""Feed the codec damaged photos and see that it refuses them in words, in time and in bounded memory.

    python tests/formats/fuzz_decode.py SOURCES... --count 5000 --seed 0

Each round takes one of the source files or of the small ones made here, in every format, and cuts it, flips
bits in it (in half of the rounds only near its start, where the headers are), or overwrites, doubles or drops
a piece of it. The same seed and sources make the same files. A file that is taken for a photo is also
encoded. What goes wrong is named with the number of its round and ends in exit code 1; a crash of a decoder
ends the process, which is for the caller to see.
"""

from __future__ import annotations

import argparse
import io
import re
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats import picture as codec
from ulecli.formats.audit import leaks, mark_in
from ulecli.formats.memory import Memory
from ulecli.formats.registry import HEAD, SUFFIXES, missing, sniff

MAX_PIXELS = 20_000_000
SECONDS = 20.0
MEGABYTES = 1024
HEADERS = 2048
MEMORY = Memory()


def made() -> dict[str, bytes]:
    """Small photos in every format and kind that Pillow writes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:120, 0:160]
    planes = np.stack([x * 1.5, y * 2.0, 255 - x], -1) + rng.normal(0, 8, (120, 160, 3))
    image = Image.fromarray(planes.clip(0, 255).astype(np.uint8))
    tags = Image.Exif()
    tags[0x0110], tags[0x0112], tags[0x8769] = "A Camera", 6, {0x829A: 0.01}
    wide = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    kinds: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "baseline": (image, "JPEG", {"exif": tags}),
        "progressive": (image, "JPEG", {"progressive": True, "subsampling": 0}),
        "gray": (image.convert("L"), "JPEG", {}),
        "cmyk": (image.convert("CMYK"), "JPEG", {}),
        "mpo": (image, "MPO", {"save_all": True, "append_images": [image]}),
        "png": (image, "PNG", {"exif": tags}),
        "palette": (image.quantize(32), "PNG", {"transparency": 3}),
        "wide": (wide, "PNG", {}),
        "apng": (image, "PNG", {"save_all": True, "append_images": [image.rotate(9)]}),
        "lossy webp": (image, "WEBP", {"exif": tags}),
        "lossless webp": (image.convert("RGBA"), "WEBP", {"lossless": True}),
        "animated webp": (image, "WEBP", {"save_all": True, "append_images": [image.rotate(9)]}),
        **{
            f"tiff {name}": (
                image,
                "TIFF",
                {"compression": name, "exif": tags.tobytes()} if name == "raw" else {"compression": name},
            )
            for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        },
        "tiff group4": (image.convert("1"), "TIFF", {"compression": "group4"}),
        "tiff pages": (image, "TIFF", {"save_all": True, "append_images": [image.convert("L")]}),
        "tiff wide": (wide, "TIFF", {"compression": "tiff_lzw"}),
        "tiff cmyk": (image.convert("CMYK"), "TIFF", {}),
        "bmp": (image, "BMP", {}),
        "bmp palette": (image.quantize(16), "BMP", {}),
        "avif": (image, "AVIF", {"exif": tags}),
        "avif alpha": (image.convert("RGBA"), "AVIF", {}),
    }
    if not missing("HEIC"):
        from pillow_heif import register_heif_opener

        register_heif_opener()
        kinds["heic"] = (image, "HEIF", {"exif": tags.tobytes()})
    files = {}
    for name, (picture, format, settings) in kinds.items():
        buffer = io.BytesIO()
        picture.save(buffer, format, **settings)
        files[name] = buffer.getvalue()
    return files


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to three kinds of damage."""
    for _ in range(int(rng.integers(1, 4))):
        size = len(content)
        if size < 4:
            return content
        reach = min(size, HEADERS) if rng.random() < 0.5 else size
        start = int(rng.integers(reach))
        length = int(min(size - start, rng.integers(1, 64)))
        match int(rng.integers(5)):
            case 0:
                content = content[: int(rng.integers(size))]
            case 1:
                data = bytearray(content)
                for place in rng.integers(reach, size=int(rng.integers(1, 17))):
                    data[place] ^= 1 << int(rng.integers(8))
                content = bytes(data)
            case 2:
                filler = rng.choice([b"\0", b"\xff", b"\x7f"]) * length
                content = content[:start] + filler + content[start + length :]
            case 3:
                content = content[:start] + content[start : start + length] * 2 + content[start + length :]
            case 4:
                content = content[:start] + content[start + length :]
    return content


def judge(path: Path, format: str, rng: np.random.Generator) -> str:
    """Decode and encode one file; say in a word what came of it."""
    mark_in(path)
    assert all(leak.isprintable() for leak in leaks(path))
    try:
        first = bool(rng.integers(2))
        picture = codec.decode(path, format, memory=MEMORY, first_frame=first, max_pixels=MAX_PIXELS)
    except PhotoError:
        return "refused"
    except PhotoSkipped:
        return "skipped"
    assert picture.image.mode in ("RGB", "RGBX", "RGBA")
    if picture.image.width * picture.image.height > 1_000_000:
        return "decoded"
    if picture.pixels is not None:
        alone = codec.decode(path, format, first_frame=first, max_pixels=MAX_PIXELS).image
        if not np.array_equal(picture.pixels[..., :3], np.asarray(alone)):
            return "ANOTHER PICTURE SHINES THROUGH"
    out = path.with_name("out")
    out.unlink(missing_ok=True)
    try:
        codec.encode(picture, picture.image, out)
    except PhotoError:
        return "not encoded"
    return "encoded" if codec.read_rgb(out, format).size == picture.image.size else "WRONG SIZE"


def run(sources: list[Path], count: int, seed: int) -> int:
    """Run all rounds and print what came of them; return the number of faults."""
    files = made() | {str(path): path.read_bytes() for path in sources}
    names, results, faults, slowest = sorted(files), Counter[str](), 0, (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in"
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            name = names[int(rng.integers(len(names)))]
            path.write_bytes(damaged(files[name], rng))
            # As often as not by what it was before, so that damage to the first bytes is seen by its parser.
            format = sniff((path.read_bytes() if rng.integers(2) else files[name])[:HEAD])
            if format not in SUFFIXES:
                results["no photo"] += 1
                continue
            begun = time.perf_counter()
            try:
                result = judge(path, format, rng)
            except Exception as error:
                result = f"{type(error).__name__}: {error}"
            elapsed = time.perf_counter() - begun
            slowest = max(slowest, (elapsed, f"round {number}, {name}"))
            if result not in ("refused", "skipped", "decoded", "encoded") or elapsed > SECONDS:
                faults += 1
                print(f"round {number}, {name}: {result} in {elapsed:.1f} s")
            results[result.partition(":")[0]] += 1
    peak = peak_megabytes()
    print(f"{count} rounds of seed {seed}: {dict(results)}")
    print(f"slowest {slowest[0]:.2f} s ({slowest[1]}); peak memory {peak:.0f} MiB; {faults} faults")
    return faults + (peak > MEGABYTES)


def peak_megabytes() -> float:
    """Return the most memory that this process has had, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # not `ru_maxrss`, which begins at what the process has that started this one
        return int(re.findall(r"VmHWM:\s*(\d+)", status.read_text())[0]) / 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / (1 << 20 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path, nargs="*", help="photos, and folders of them")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow's, about odd metadata
    sources = [
        path
        for source in options.sources
        for path in ([source] if source.is_file() else sorted(source.rglob("*")))
        if path.is_file() and path.suffix not in (".tsv", ".md")
    ]
    raise SystemExit(1 if run(sources, options.count, options.seed) else 0)


if __name__ == "__main__":
    main()
