"""Chat rooms with names, a history, and who is here."""
