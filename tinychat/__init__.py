"""tinychat: train a small language model, then see and steer how every token is chosen."""

__version__ = "0.1.0"
