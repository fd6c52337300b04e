"""A display: prints the readings of all thermometers."""

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

client = Client(CallbackAPIVersion.VERSION2, "display", protocol=MQTTProtocolVersion.MQTTv5)


@client.connect_callback()
def subscribe(client, userdata, flags, reason, properties):
    client.subscribe("sensors/+/reading", qos=1)


@client.message_callback()
def show(client, userdata, message):
    print(message.topic, message.payload.decode(), flush=True)


client.connect("localhost", 1883)
client.loop_forever()
