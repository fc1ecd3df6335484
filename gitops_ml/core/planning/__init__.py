"""From desired and observed state to a plan: drift, actions and their causes."""
