"""Surrogates: the recipes they are made by, their training, their files, and their use on photos."""
