"""Files that somebody made to take all memory, to read what is not theirs, or to run code: each is refused in words."""
