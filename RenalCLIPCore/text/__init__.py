"""Words: reports, attributes, prompts."""
