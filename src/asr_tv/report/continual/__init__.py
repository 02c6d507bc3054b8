"""What is carried from domain to domain: the matrix of a sequence, and what a run took over from elsewhere."""
