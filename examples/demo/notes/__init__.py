"""Notes: live notifications to one signed-in person."""
