"""How the synthetic clips of the source sentences differ from their recordings, and speech made to differ less."""
