"""Task vectors: arithmetic on weights, and the files they are kept in."""
