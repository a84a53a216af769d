"""What the images' statistics say before anything is trained: statistics, schema and drift."""
