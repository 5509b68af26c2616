"""One self-contained HTML page of a run: what was protected, how it looks, and what failed."""
