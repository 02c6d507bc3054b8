"""From recordings to hypotheses."""
