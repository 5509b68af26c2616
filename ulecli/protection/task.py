"""One photo of a run: the file that was found, where it goes, and what its perturbation carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ulecli.protection.outcome import Photo, PhotoOutcome, Status


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
        code: What the perturbation carries; -1 if it is not known yet.
        read_back: Measure the written file.
        parameters: What decides the pixels, as JSON.
    """

    photo: Photo
    target: Path
    root: Path
    remark: str = ""
    backup: Path | None = None
    identity: str = ""
    code: int = -1
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
            code=self.code,
        )
