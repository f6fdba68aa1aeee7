"""The toxicity screen: the texts it is trained and measured on, and its training."""
