"""Batches and losses, one file per objective."""
