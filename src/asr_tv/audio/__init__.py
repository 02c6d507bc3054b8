"""Recordings: reading and writing, channel simulation, voice activity, splitting at silences."""
