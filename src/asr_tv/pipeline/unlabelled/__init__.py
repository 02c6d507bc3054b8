"""Models that learn from recordings without labels: tables of test-time adaptation, and self-training."""
