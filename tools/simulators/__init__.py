"""WeCom and Telegram on loopback, speaking the wire protocol."""
