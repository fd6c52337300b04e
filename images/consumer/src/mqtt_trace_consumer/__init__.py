"""The consumer: continues the trace of each reading from MQTT 5 into an HTTP call, at least once.

How a reading travels: `service` receives it and hands it to `workers`, of which each runs `processor`: it opens the
process span, posts the payload through `echo`, waits at `gate` while echo is away, and gives what cannot be processed
to `dead_letters`. `acknowledger` then sends the PUBACK, in receive order, on the connection that brought the reading.
`subscription` keeps the subscription and proves with `probe` that it delivers.
"""
