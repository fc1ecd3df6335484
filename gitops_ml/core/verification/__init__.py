"""The judgement of a generation: statistics, thresholds and verdicts."""
