"""Figures and pages from arrays; nothing here runs a model."""
