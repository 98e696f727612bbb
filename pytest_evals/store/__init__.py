"""What is kept of a run: its folder, its rows, its metadata."""
