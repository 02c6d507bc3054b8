"""Sentences that a run writes before it speaks them: of its target, and of domains that it replays."""
