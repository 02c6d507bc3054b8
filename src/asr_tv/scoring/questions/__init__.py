"""Questions to what a recogniser heard: words that nobody said, words that are there and their order, and tasks."""
