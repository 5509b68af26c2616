"""Verifying protected files: is each what `protect` promises? Measured on the files alone."""
