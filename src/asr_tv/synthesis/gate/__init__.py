"""Which synthetic clips say what their label says."""
