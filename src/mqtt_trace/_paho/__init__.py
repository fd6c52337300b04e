"""Everything that touches what paho-mqtt keeps to itself. `compat` lists those names and checks them first."""
