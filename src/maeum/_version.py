"""The package version, in one place; CHANGELOG.md and pyproject.toml must agree (a test checks)."""

__version__ = "0.1.0"
