"""Is it gradient descent: subjects, the hunt for a counterexample, and what it shows."""
