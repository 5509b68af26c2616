"""Training sets that somebody protected: read from files, folders of PNGs or trees of photos, and audited."""
