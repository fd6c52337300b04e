"""The consumer: continues the trace of each reading from MQTT 5 into an HTTP call, at least once.

The path of a reading: `service` receives it and queues it for `workers`. Each worker runs `processor`, which opens the
process span and posts the payload through `echo`; `circuit_breaker` holds the calls back while echo is unavailable.
`dead_letter` publishes a reading that cannot be processed. `acknowledger` then sends the PUBACK, in receive order, on
the connection that delivered the reading. `subscription` keeps the subscription and uses `probe` to prove that it
delivers.
"""
