"""The tables and figures of 'Going Grayscale', made again cell by cell and set beside the paper's figures."""
