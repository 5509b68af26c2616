"""Training sets that somebody protected: read from files, folders of PNGs or trees of photos, and audited."""

from __future__ import annotations

from ulecli.poisons.audit import PoisonAudit, audit, warnings
from ulecli.poisons.checks import check_clean, check_test_set, same_images
from ulecli.poisons.kinds import PoisonKind
from ulecli.poisons.photos import aligned, only_classes, read_photos, read_protected
from ulecli.poisons.reading import Poison, read_poison
from ulecli.poisons.uploads import Upload

__all__ = [
    "Poison",
    "PoisonAudit",
    "PoisonKind",
    "Upload",
    "aligned",
    "audit",
    "check_clean",
    "check_test_set",
    "only_classes",
    "read_photos",
    "read_poison",
    "read_protected",
    "same_images",
    "warnings",
]
