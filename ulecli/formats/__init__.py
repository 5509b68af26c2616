"""Photo formats: one file for each format, and the metadata that all of them share."""
