"""From a request's values to the model's answer: the artifact is loaded, rehearsed, and called."""
