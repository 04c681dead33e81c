"""Find similar studies: index, server and web page."""
