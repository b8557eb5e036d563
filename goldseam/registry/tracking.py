"""The MLflow server or database that a promote configuration means."""

import contextlib
import os

from goldseam.registry.config import PromoteConfig
from goldseam.tracking import Tracking, absolute_uri
from goldseam.tracking import open_tracking as open_uri


def tracking_uri(config: PromoteConfig) -> str:
    """The address that a configuration means; SQLite paths are made absolute."""
    uri = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    return absolute_uri(uri)


def open_tracking(config: PromoteConfig) -> contextlib.AbstractContextManager[Tracking]:
    """Open the registry; see `goldseam.tracking.open_tracking`."""
    return open_uri(tracking_uri(config))
