"""The differential suite: a scenario shows the same against upstream and against us."""
