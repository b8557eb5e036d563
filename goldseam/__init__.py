"""goldseam trains vision models on broken labels and says what those labels are worth.

The names below are the public API; each is imported when it is first used, so that
`import goldseam` costs milliseconds.
"""

from goldseam import telemetry as telemetry  # first of all: it turns telemetry off

__version__ = "0.1.0"
