"""Writes a text corpus for a domain that has none, from its terms and a few example sentences."""
