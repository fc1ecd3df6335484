"""Running the checks of a generation: what is asked of it, and the judgement of the answers."""
