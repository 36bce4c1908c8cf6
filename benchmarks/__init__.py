"""What must be fast, measured: our way and the ordinary way in one run (performance P5)."""
