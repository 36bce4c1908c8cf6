"""Floor 3: posting what the services promised (L6)."""
