"""Whisper checkpoints on disk: found, converted, read tensor by tensor, written."""
