"""How a model is trained: text, shards, batches, loss, optimizer, schedule, checkpoints, and what to show of it."""
