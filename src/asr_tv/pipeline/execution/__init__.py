"""How the graph's calls are run: one after the other, or in processes."""
