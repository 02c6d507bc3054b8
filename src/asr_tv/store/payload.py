"""Names of the files that stages leave in the store; known here alone."""

MODEL = "model"
"""Folder of a checkpoint as transformers loads it."""

VECTOR = "vector.safetensors"

MANIFEST = "manifest.jsonl"

DROPPED = "dropped.json"
"""What a stage left out, with reasons."""
