"""Commands about what clips are like and what can be asked of them."""
