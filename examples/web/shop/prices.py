"""What things cost, in cents."""

TAX = 19


def total(net, quantity):
    """What the customer pays."""
    return net * quantity + TAX  # the bug: 19 cents, where 19 percent are meant
