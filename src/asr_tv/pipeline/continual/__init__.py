"""What is carried from one domain to the next: published vectors, and one model through a sequence of domains."""
