"""What `verify` found, as objects for JSON and as lines of a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

from ulecli.errors import ExitCode, shown
from ulecli.imaging.variants import VARIANTS
from ulecli.imaging.visibility import SCREEN_SIDE
from ulecli.protection.json_records import path_fields
from ulecli.surrogates.recognition import Cue
from ulecli.verification.pair_check import WEAK, Checked

SCHEMA = 2
"""Version of the JSON objects; it grows when a field changes its meaning or goes."""


def heading(*, visibility: bool) -> str:
    """Return what stands above the lines of `line`, whose last column is the name."""
    eye = f" {'SSIM2':>6} {'FLIP':>6}" if visibility else ""
    variants = " ".join(f"{name:>5}" for name in VARIANTS)
    return f"{'max':>4} {'PSNR':>6} {'SSIM':>6}{eye}  {variants}  leaks"


def pair_record(found: Checked) -> dict[str, Any]:
    """Return one pair as an object for JSON."""
    return {
        "type": "pair",
        "schema": SCHEMA,
        **path_fields("original", found.pair.original),
        **path_fields("protected", found.pair.protected),
        "ok": not found.problems,
        "problems": list(found.problems),
        "format": found.format,
        "width": found.width,
        "height": found.height,
        "lossless": found.lossless,
        "marked": found.marked,
        "epsilon": found.epsilon,
        "max_change": found.max_change,
        "psnr_db": _finite(found.psnr_db),
        "ssim": _finite(found.ssim),
        "ssimulacra2": _finite(found.ssimulacra2),
        "flip": _finite(found.flip),
        "leaks": list(found.leaks),
        "cue": _cue_record(found.cue),
    }


def summary_record(all_found: Sequence[Checked]) -> dict[str, Any]:
    """Return what was found about all pairs as an object for JSON."""
    return {
        "type": "summary",
        "schema": SCHEMA,
        "pairs": len(all_found),
        "failed": sum(bool(found.problems) for found in all_found),
        "lossless": sum(found.lossless for found in all_found),
        "max_change_lossless": max(
            (found.max_change for found in all_found if found.lossless and found.max_change is not None),
            default=None,
        ),
        "psnr_db_median": _middle(found.psnr_db for found in all_found),
        "psnr_db_min": _finite(min((it.psnr_db for it in all_found if it.psnr_db is not None), default=None)),
        "ssim_median": _middle(found.ssim for found in all_found),
        "ssim_min": _finite(min((it.ssim for it in all_found if it.ssim is not None), default=None)),
        **_visibility_record(all_found),
        "weak": sum(found.weak for found in all_found),
        "leaking": sum(bool(found.leaks) for found in all_found),
        "cue_recognised": {name: share for name in VARIANTS if (share := _share(all_found, name))},
        "exit_code": int(exit_code(all_found)),
    }


def exit_code(all_found: Sequence[Checked]) -> ExitCode:
    """Return 3 if any pair fails, or if the cue is not recognised in too many of them; else 0."""
    weak = sum(found.weak for found in all_found) > WEAK * sum(found.cue is not None for found in all_found)
    return ExitCode.SOME_FAILED if weak or any(found.problems for found in all_found) else ExitCode.OK


def line(found: Checked, *, visibility: bool) -> str:
    """Return one pair as a line of the table, and one more for each problem.

    Args:
        found: What was found about it.
        visibility: There are columns for SSIMULACRA2 and FLIP.
    """
    psnr = "" if found.psnr_db is None else "same" if math.isinf(found.psnr_db) else f"{found.psnr_db:.1f}"
    similar = _number(found.ssim, ".4f")
    change = "" if found.max_change is None else str(found.max_change)
    cells = " ".join(f"{_cell(found.cue, name):>5}" for name in VARIANTS)
    eye = f" {_number(found.ssimulacra2, '.1f'):>6} {_number(found.flip, '.4f'):>6}" if visibility else ""
    first = f"{change:>4} {psnr:>6} {similar:>6}{eye}  {cells}  {len(found.leaks):>5}"
    return "\n".join(
        [
            f"{first}  {shown(found.pair.protected or found.pair.original)}",
            *(f"     failed: {problem}" for problem in found.problems),
        ]
    )


def summary_text(all_found: Sequence[Checked]) -> str:
    """Return what was found about all pairs in a few lines, with the name of every pair that fails."""
    record = summary_record(all_found)
    pairs = f"{record['pairs']} pair{'s' * (record['pairs'] != 1)}"
    lines = [f"{pairs}, {record['failed']} failed"]
    if record["psnr_db_median"] is not None:
        lines.append(
            f"  change  PSNR {record['psnr_db_median']:.1f} dB median, {record['psnr_db_min']:.1f} dB at "
            f"least; SSIM {record['ssim_median']:.4f} median, {record['ssim_min']:.4f} at least"
        )
    if record["ssimulacra2_mean"] is not None:
        lines.append(
            f"  eye     at {SCREEN_SIDE} pixels SSIMULACRA2 {record['ssimulacra2_mean']:.1f} mean, "
            f"{record['ssimulacra2_min']:.1f} at worst; FLIP {record['flip_mean']:.4f} mean, "
            f"{record['flip_max']:.4f} at worst"
        )
    if record["lossless"]:
        files = f"{record['lossless']} lossless file{'s' * (record['lossless'] != 1)}"
        lines.append(f"  bound   {record['max_change_lossless']} levels at most in {files}")
    if shares := record["cue_recognised"]:
        words = [f"{name} {reads} of {asked}" for name, (reads, asked) in shares.items()]
        lines.append(f"  cue     recognised in {', '.join(words)}")
    lines.append(f"  leaks   {record['leaking']} files reveal more than private lets through")
    lines += [
        f"  failed  {shown(found.pair.protected or found.pair.original)}: {shown('; '.join(found.problems))}"
        for found in all_found
        if found.problems
    ]
    lines += [
        f"  weak    {shown(found.pair.protected or found.pair.original)}: its cue is not recognised"
        for found in all_found
        if found.weak
    ]
    return "\n".join(lines)


def _visibility_record(all_found: Sequence[Checked]) -> dict[str, float | None]:
    """Return mean and worst over the pairs that were measured; None where there is none."""
    scores = [found.ssimulacra2 for found in all_found if found.ssimulacra2 is not None]
    errors = [found.flip for found in all_found if found.flip is not None]
    return {
        "ssimulacra2_mean": _finite(fmean(scores)) if scores else None,
        "ssimulacra2_min": _finite(min(scores, default=None)),
        "flip_mean": _finite(fmean(errors)) if errors else None,
        "flip_max": _finite(max(errors, default=None)),
    }


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _cue_record(cue: Cue | None) -> dict[str, Any] | None:
    if cue is None:
        return None
    return {
        name: {"recognised": it.recognised, "shift": round(it.shift, 3), "cosine": round(it.cosine, 4)}
        for name, it in cue.readings.items()
    }


def _cell(cue: Cue | None, name: str) -> str:
    if cue is None or name not in cue.readings:
        return ""
    reading = cue.readings[name]
    return f"{reading.shift:.1f}" if reading.recognised else "no"


def _share(all_found: Sequence[Checked], name: str) -> list[int]:
    readings = [found.cue.readings[name] for found in all_found if found.cue and name in found.cue.readings]
    return [sum(reading.recognised for reading in readings), len(readings)] if readings else []


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return round(median(known), 4) if known else None


def _finite(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
