"""One module a section of the configuration; `config.schema` joins them."""
