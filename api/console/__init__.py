"""Who may look at the console: people with passwords, their sessions, and what slows guessing down."""
