"""Surrogates: the recipes they are made by, their amortised min-min training, and their three files."""
