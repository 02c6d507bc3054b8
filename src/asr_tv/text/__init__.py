"""Text as it is scored, spoken and written."""
