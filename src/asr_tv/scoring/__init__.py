"""From hypotheses and references to rates, intervals and differences."""
