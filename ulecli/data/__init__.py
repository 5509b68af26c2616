"""Labelled pictures as tensors: CIFAR-10 and CIFAR-100, folders of photos, and drawn shapes."""
