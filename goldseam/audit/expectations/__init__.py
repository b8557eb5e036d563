"""Expectation suites on tables about the labels, run by Great Expectations: the gate on data."""
