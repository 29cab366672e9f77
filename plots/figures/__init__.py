"""Figures: axes-level functions draw one axes, figure-level functions draw several."""
