"""Measurements of mqtt-trace against a baseline, the code of the guide, with the same Mosquitto in one run."""
