"""Who is in a topic now."""
