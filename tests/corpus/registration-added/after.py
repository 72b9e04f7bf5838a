HOOKS = []
HOOKS.append(print)
