"""Publications that are kept in the database until the broker has them: an app of its own."""
