"""Keeps the telemetry of our dependencies off: no label leaves the machine because of us.

The variables are read by the libraries when they are imported, so this module runs first of all
(`goldseam/__init__.py` imports it on its first line). A value the user set beforehand stays.
"""

import os

OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    # `datasets` tells a server of every load, even of local files, and may wait for the network
    "HF_UPDATE_DOWNLOAD_COUNTS": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


def turn_off() -> None:
    """Set every variable of `OFF` that the user has not set."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)


turn_off()
