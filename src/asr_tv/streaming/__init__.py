"""Streams: recordings in time order, heard by agents that learn from feedback, and what that changed."""
