"""The registry: what a run recorded, which model version came of it, and who is champion."""
