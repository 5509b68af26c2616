"""What the operating system is asked for: processes, their limits, and what goes between them."""
