"""asr-tv: adapts a speech recogniser to a new domain from text alone, and proves what that bought."""
