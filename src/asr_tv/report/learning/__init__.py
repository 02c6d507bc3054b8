"""What models learnt from recordings without labels, and from feedback: tables for terminals, Markdown and pages."""
