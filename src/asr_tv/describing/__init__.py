"""What clips of speech are like: measured attributes, and their one-line descriptions."""
