"""Metadata: what a protected picture carries on, and the XMP packet with the mark in it."""
