"""Fakes that tests, benchmarks and users share."""
