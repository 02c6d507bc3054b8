"""The only cache: finished results as folders, found by a key."""
