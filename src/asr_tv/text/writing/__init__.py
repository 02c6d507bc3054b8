"""Sentences for a domain that cannot be quoted: from its terms and a few examples to a training corpus."""
