"""Protecting photos: from the paths that a user names to protected files, and the record of what was done."""
