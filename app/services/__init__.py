"""Floor 2: what the business does. Functions `verb(session, thing, …, now)`; none commits (L5)."""
