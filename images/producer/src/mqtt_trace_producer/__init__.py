"""See the package's pyproject.toml."""
