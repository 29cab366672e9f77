"""The theorems, a family a file."""
