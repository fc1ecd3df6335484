"""Pictures of checks: geometry computed from the figures of a record, and no figure that is not in it."""
