"""What a model artifact is: its files, and what they say of the model."""
