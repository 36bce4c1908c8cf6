"""Floor 3: what runs by the clock."""
