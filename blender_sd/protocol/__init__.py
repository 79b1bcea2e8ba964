"""Messages between processes, their framing, and the loop that serves them. Standard library and numpy only."""
