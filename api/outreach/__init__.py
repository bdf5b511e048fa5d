"""Messages nobody asked for: planned, approved by a person, and sent only as the platform and the customer allow."""
