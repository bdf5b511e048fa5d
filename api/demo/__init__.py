"""The demonstrations: a conversation, and a whole day."""
