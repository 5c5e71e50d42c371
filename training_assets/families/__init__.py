"""Model families: one file and one registry line each."""
