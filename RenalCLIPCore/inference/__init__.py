"""A study and a bundle in, a case review out."""
