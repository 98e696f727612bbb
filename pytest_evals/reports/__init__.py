"""What a finished run looks like: tables, transcripts, metadata."""
