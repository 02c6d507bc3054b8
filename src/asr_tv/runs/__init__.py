"""A run and its folder: outputs, promotion, export, reading it back."""
