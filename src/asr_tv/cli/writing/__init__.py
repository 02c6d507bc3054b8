"""`asr-tv texts`: sentences from terms, and sentences like those of a domain."""
