"""One photo of a run: the file that was found, where it goes, and what its perturbation carries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import Photo, PhotoOutcome, Status

if TYPE_CHECKING:
    from ulecli.perturb.perturber import Perturber


@dataclass(frozen=True)
class Task:
    """What shall be done with one photo.

    Attributes:
        photo: What will be protected.
        target: Where it goes.
        root: The folder of the output that it belongs to, where the ledger lies.
        remark: Why the name is not the source's; empty if it is.
        backup: Where the photo itself goes before it is replaced; None where it is not, or shall be lost.
        identity: Whose it is.
        direction: Name of the direction that the photo is moved along; empty if it is not known yet.
        read_back: Measure the written file.
        parameters: What decides the pixels, as JSON.
    """

    photo: Photo
    target: Path
    root: Path
    remark: str = ""
    backup: Path | None = None
    identity: str = ""
    direction: str = ""
    read_back: bool = False
    parameters: str = ""

    def outcome(self, status: Status) -> PhotoOutcome:
        """Return the outcome of the task before anything is measured."""
        return PhotoOutcome(
            source=self.photo.path,
            target=self.target,
            status=status,
            reason=self.remark,
            format=self.photo.format,
            identity=self.identity,
            direction=self.direction,
        )


def parameters_of(config: ProtectConfig, perturber: Perturber, direction: str) -> str:
    """Return what decides the pixels of a protected photo, as JSON.

    Args:
        config: What the run was asked to do.
        perturber: What makes the perturbations.
        direction: Name of the direction that the photo is moved along; empty if it is not known yet.
    """
    decisive = {
        "epsilon": config.epsilon,
        "strength": str(config.strength),
        "direction": direction,
        "surrogate": perturber.label,
        "surrogate_sha256": perturber.sha256,
        "first_frame": config.reading.first_frame,
        "metadata": str(config.reading.metadata),
    }
    return json.dumps(decisive, sort_keys=True)
