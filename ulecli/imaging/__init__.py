"""Arithmetic on pictures by numpy and Pillow: adding delta, differences, uploads."""
