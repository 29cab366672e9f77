"""What was done in place of gradient descent: the likeliest cause of steps that are wrong."""
