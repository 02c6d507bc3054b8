"""What a run came to, from records to tables, pages and cards."""
