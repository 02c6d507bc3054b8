"""The quality gate: which synthetic clips say their label."""
