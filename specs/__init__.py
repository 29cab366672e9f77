"""Executable theorems of gradient descent."""
