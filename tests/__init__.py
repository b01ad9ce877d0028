"""The tests: a regular package, so that no installed ``tests`` can stand before it."""
