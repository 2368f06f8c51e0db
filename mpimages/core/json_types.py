"""The type of what JSON holds. Local."""

from typing import Any

JsonObject = dict[str, Any]
