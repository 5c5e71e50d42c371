"""Built-in targets: one registry, one builder an entry."""
