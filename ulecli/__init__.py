"""Protect photos from being used to train image classifiers, and prove it."""

from __future__ import annotations

__version__ = "0.1.0"
