"""Labelled pictures as tensors: CIFAR-10 and CIFAR-100, folders of photos, and drawn shapes."""

from __future__ import annotations

from ulecli.data.cifar import cifar10, cifar100, default_root
from ulecli.data.datasets import DATASETS, Dataset, open_dataset
from ulecli.data.folder import SUFFIXES, image_folder, list_pictures, read_pictures, split_folder
from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes

__all__ = [
    "DATASETS",
    "SUFFIXES",
    "Dataset",
    "ImageSet",
    "cifar10",
    "cifar100",
    "default_root",
    "image_folder",
    "list_pictures",
    "open_dataset",
    "read_pictures",
    "shapes",
    "split_folder",
]
