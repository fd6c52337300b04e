"""Side-by-side measurements: the straightforward way of the guide, and ours, against the same Mosquitto in one run."""
