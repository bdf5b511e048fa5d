"""What the bot decides: the state graph every inbound message runs through."""
