"""Recordings as samples: reading, writing, simulated lines, rooms, silences."""
