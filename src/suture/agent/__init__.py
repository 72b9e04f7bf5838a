"""The agent: what ``suture.install()`` brings into a process, so that an operator's command can reach its engine."""
