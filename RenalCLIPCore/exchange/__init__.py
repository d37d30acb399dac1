"""A case review and its volumes to the formats that others read."""
