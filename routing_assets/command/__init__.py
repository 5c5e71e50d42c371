"""The `switchyard` command, behind its front door `routing_assets.cli`."""
