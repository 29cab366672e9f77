"""What one recorded run obeys, and what became of it."""
