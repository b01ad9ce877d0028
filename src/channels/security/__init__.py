"""Which connections are refused."""
