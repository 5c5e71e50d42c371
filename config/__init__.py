"""Values and their meaning: the schema of every setting, and how YAML becomes one validated Config.

Imports nothing else of ours; holds no class paths and no code that acts on the values.
"""
