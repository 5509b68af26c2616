"""What the operating system is asked for: files that are whole or absent, locks, processes, devices."""
