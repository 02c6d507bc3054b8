"""Prefect flows and tasks around the library's graph."""
