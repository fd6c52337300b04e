"""Users of the broker for the sensors of fleets: passwords, certificates, and how Mosquitto learns of them."""
