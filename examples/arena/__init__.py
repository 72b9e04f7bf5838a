"""A small game server to fix while it runs."""
