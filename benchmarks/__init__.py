"""Measurements beside each other; ``results`` holds what they printed."""
