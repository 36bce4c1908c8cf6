"""REST, as programs see it."""
