"""What a head's margins mean: calibration, shares of random images, thresholds."""
