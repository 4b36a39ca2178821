"""The version of this release."""

__all__ = ["__version__"]

# The build backend reads this line by a pattern, which knows no annotation.
__version__ = "0.1.0"
