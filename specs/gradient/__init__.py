"""Is it the gradient of that function: by automatic differentiation, and by Taylor's theorem."""
