"""Measuring a protection: exploiters are trained on protected images and judged on clean ones."""
