"""Fine-tuning a recogniser on pairs of clip and text."""
