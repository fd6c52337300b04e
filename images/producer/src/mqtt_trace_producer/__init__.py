"""Simulated sensors that publish traced readings over MQTT 5.

One process runs a fleet of devices on one asyncio loop. Each device has its own MQTT connection, resource and bounded
buffer. `mqtt-trace-producer --help` lists the settings.

The path of a reading: `sensor` makes it when `schedule` is due, `device` buffers it until the broker acknowledges it,
`round_robin` shares the loop among devices that publish, `retries` publishes it again when it has no subscribers, and
`metrics` counts it. `connectivity` and `incident` log one line for a change that affects thousands of devices. `fleet`
holds the devices, and `command` wires everything.

The configuration of a device is a `device_spec`. It comes from the settings, or from a fleet file (`fleet_file`) that
`fleet_file_watcher` watches for changes. `credentials` has a device's own password or certificate. `faults` selects the
devices and readings without a usable context.

`check` is the command `mqtt-trace-check`, with `check_settings` and `check_diagnosis`.
"""
