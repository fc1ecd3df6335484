"""What Git declares and what the host runs, read once at the start of a pass, and watched during it."""
