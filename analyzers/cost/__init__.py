"""Token cost: what a model costs, found once for each name that spans carry, and applied by the store in SQL."""
