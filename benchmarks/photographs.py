"""The photos that the benchmarks of `protect` work on."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def parser_for(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option that names the photos, `options.photos`."""
    shared = Path(os.environ.get("ULECLI_SHARED", "../shared"))
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, default=shared / "photos", help="default: photos in ULECLI_SHARED or ../shared"
    )
    return parser


def fixed_key(folder: Path) -> Path:
    """Write a key that is always the same, so that a figure can be made again; a person's own is random."""
    key = folder / "key"
    key.write_text("75" * 32 + "\n", encoding="ascii")
    key.chmod(0o600)
    return key


def jpegs_in(source: Path) -> list[Path]:
    """Return the JPEGs under a folder, sorted.

    Raises:
        SystemExit: There is none.
    """
    found = [path for path in sorted(source.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    if not found:
        raise SystemExit(f"there is no JPEG in {source}; name a folder with --photos")
    return found
