"""Market data sources: what lies outside the process becomes one plain frame a symbol, or a named problem."""
