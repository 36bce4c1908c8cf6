"""Floor 4: what operators use: commands, health, the checks of what must always hold."""
