"""Friends of the staff: welcomed within the 20 seconds a code lives, then tagged."""
