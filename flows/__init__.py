"""Prefect's side: flows and tasks around the library's graph."""
