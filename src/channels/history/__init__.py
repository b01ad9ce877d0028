"""What was published to reliable topics, and catching up with it."""
