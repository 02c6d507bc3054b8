"""The phoneme recogniser of the PyPI package hama 1.7.0 (Apache-2.0): a Conformer-CTC, rebuilt in torch."""
