"""Protect photos from being used to train image classifiers, and prove it."""

from __future__ import annotations

import os

__version__ = "0.1.0"

# onnxruntime from 1.29 on keeps a number for this machine and sends reports to its maker, unless this is set
# before it is imported: so import ulecli first. Processes that are started inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
