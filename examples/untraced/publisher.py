"""A thermometer: publishes a reading every second."""

import json
import time

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

client = Client(CallbackAPIVersion.VERSION2, "thermometer", protocol=MQTTProtocolVersion.MQTTv5)
client.connect("localhost", 1883)
client.loop_start()
while True:
    reading = json.dumps({"device_id": "thermometer", "reading": 21.5, "ts": time.time()})
    client.publish("sensors/thermometer/reading", reading, qos=1)
    time.sleep(1)
