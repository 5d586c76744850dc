"""Experiments that take minutes; each module records one of them."""
