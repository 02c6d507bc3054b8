"""Names of the files that stages leave in the store; known here alone."""

MODEL = "model"
"""Folder of a checkpoint as transformers loads it."""

VECTOR = "vector.safetensors"
MANIFEST = "manifest.jsonl"

RECORD = "record.json"
"""What decided a result and what is known of it; the result is complete when this file is there."""

PLAN = "plan.jsonl"
"""What an unfinished synthesis is about to speak."""

DROPPED = "dropped.json"
"""What a stage left out, with reasons."""
