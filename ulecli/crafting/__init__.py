"""Crafting poisoned data sets by the published algorithms, which need the whole set at hand."""
