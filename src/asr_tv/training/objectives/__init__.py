"""Batches and loss, one file a kind of model."""
