"""All code that uses private names of paho-mqtt. `compat` lists those names and checks them first."""
