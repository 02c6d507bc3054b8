"""Task vectors as others publish and use them: a folder with a card, and an index of such folders."""
