"""What each operation asks of the state and leaves in it, a file a topic."""
