"""The outside world: the customers' channel, the desk of human agents, and the chat model."""
