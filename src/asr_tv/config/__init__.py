"""Every setting with its default, and how it is read from YAML."""
