"""Simulated sensors that publish traced readings over MQTT 5.

One process is a fleet of 1..N devices on one asyncio loop. Each device has its own MQTT connection, its own resource
and its own bounded buffer; `mqtt-trace-producer --help` lists the settings.

How a reading flows: `sensor` makes it when `schedule` says so, `device` keeps it until the broker has acknowledged it,
`retries` lets it wait for a subscriber, `metrics` counts it. `connectivity` and `incident` turn what thousands of devices
go through into single log lines, `fleet` holds the devices, `command` wires it all.

What a device is to do is a `device_spec`. It comes from the settings, or from a fleet file (`fleet_file`) that `fleet_file_watcher`
follows while it changes; `faults` says which devices and readings of a fleet have no usable context.
"""
