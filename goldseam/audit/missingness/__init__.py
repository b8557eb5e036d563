"""Is what is missing missing at random, and if not, why."""

from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.section import MissingnessSection, audit_missingness

__all__ = ["MissingnessConfig", "MissingnessSection", "audit_missingness"]
