"""Photo files to upright pictures and back."""
