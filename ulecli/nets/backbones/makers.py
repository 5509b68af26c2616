"""Backbones that perturbations may be made with. What judges a protection stands in `judges` instead.

The making of perturbations imports this module and never `judges`, which a test holds: a net that took part
in the making says nothing of how a net fares that did not.
"""

from __future__ import annotations

from ulecli.nets.backbones.backbone import Bundled
from ulecli.nets.backbones.lite import bundled
from ulecli.registry import Registry

MAKERS: Registry[Bundled] = Registry("backbone", {"efficientnet-lite0": bundled("lite0")})
"""By name."""
