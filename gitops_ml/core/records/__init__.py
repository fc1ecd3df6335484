"""The records that Git holds of verdicts, and what they say was verified last."""
