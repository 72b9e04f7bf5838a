"""What things cost, in cents."""

TAX = 19


def total(net, quantity):
    """What the customer pays."""
    return net * quantity * (100 + TAX) // 100
