"""Next Word: the library that the course builds, chapter by chapter."""

__version__ = "0.1.0"
