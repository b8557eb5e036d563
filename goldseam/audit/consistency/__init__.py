"""Labels of one image that contradict each other: an error signal that needs no model."""

from goldseam.audit.consistency.config import ConsistencyConfig
from goldseam.audit.consistency.judge import ConsistencySection, audit_consistency
from goldseam.audit.consistency.measure import ConsistencyMeasure

__all__ = ["ConsistencyConfig", "ConsistencyMeasure", "ConsistencySection", "audit_consistency"]
