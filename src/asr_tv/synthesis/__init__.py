"""Speech synthesis: plan, voices, clips, quality gate."""
