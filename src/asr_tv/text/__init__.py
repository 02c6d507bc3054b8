"""Text: normalisation for scoring, spoken forms for synthesis, and writing a corpus."""
