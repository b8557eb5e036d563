"""What the labels are worth: `validate` checks their form, `audit` measures what they say.

Both are imported when they are first used; see `goldseam`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldseam.audit.config import AuditConfig, ValidateConfig
    from goldseam.audit.stage import audit

__all__ = ["AuditConfig", "ValidateConfig", "audit"]

_HOMES = {"AuditConfig": "config", "ValidateConfig": "config", "audit": "stage"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"goldseam.audit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'goldseam.audit' has no attribute '{name}'")
