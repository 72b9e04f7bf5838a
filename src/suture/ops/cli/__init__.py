"""The command: what a person types and sees.  Decides nothing."""
