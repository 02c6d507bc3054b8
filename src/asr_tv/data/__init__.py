"""Utterances, manifests, splits, and the corpora they come from."""
