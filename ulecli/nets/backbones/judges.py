"""Backbones that judge protections and never take part in making one; backbones of files join them.

Nothing that makes perturbations may import this module, see `makers`.
"""

from __future__ import annotations

from ulecli.nets.backbones.backbone import Bundled
from ulecli.nets.backbones.lite import bundled
from ulecli.registry import Registry

JUDGES: Registry[Bundled] = Registry("backbone", {"efficientnet-lite2": bundled("lite2")})
"""By name."""
