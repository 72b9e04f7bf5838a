from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import json
    import re

x: str
