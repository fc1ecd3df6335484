"""The arithmetic of the judgement: metrics of a model, and the tests and intervals that compare two."""
