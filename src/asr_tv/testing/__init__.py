"""Fakes that tests and users share."""
