"""Steers a trained decoder by words alone: prompts, boosted phrases, n-gram fusion."""
