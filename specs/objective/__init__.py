"""Does an objective have the properties that it claims: attacks on every one of them."""
