"""Where data comes from and where it is kept: readers, named sources, the archive."""
