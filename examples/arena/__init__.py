"""A small game server to fix while it runs; ``demo.py`` tells the story."""
