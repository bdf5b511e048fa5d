"""The human desk: what people do there becomes rows, what they are shown comes from rows."""
