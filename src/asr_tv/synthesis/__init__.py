"""From text to speech: plan, voices, clips."""
