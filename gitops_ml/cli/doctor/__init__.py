"""The command `doctor`: what is looked at in the clone and on the engine."""
