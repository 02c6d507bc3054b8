"""Test-time adaptation: a CTC model that learns from a recording, without labels, before it writes its text."""
