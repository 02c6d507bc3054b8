"""Rows of test-time adaptation: the whole table of a model on recordings, and those of a run."""
