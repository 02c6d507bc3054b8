"""A local page on which a person speaks to two or more models and sees what each hears."""
