"""What ``make`` uses to keep the book and the library one text."""
