"""Commands whose models learn from recordings without labels, or from corrections, while they listen."""
