"""Built-in features: one registry, one builder an entry."""
