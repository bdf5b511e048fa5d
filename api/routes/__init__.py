"""HTTP routes: verify, store, answer."""
