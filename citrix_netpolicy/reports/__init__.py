"""What is printed or written for people: summaries, the catalogue, the allow list."""
