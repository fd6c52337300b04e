"""The operator of SensorFleet: fleets of simulated sensors that `kubectl scale` works on.

How a change flows: `handlers` enqueues the fleet of an event, `workers` runs one reconcile per fleet at a time, and
`reconcile` brings the cluster to the state that the fleet's spec describes. Pure functions decide: `fleet` reads the
resource, `children` builds its objects, `drift` decides which of them to apply, `diagnosis` finds out why pods fail,
`refresh` when to annotate them, `scenario` where a scenario is, and `status` builds the status of what is `observed`.
`applying` applies the objects, and `identities` gives sensors credentials of their own, from `passwords` or
`certificates`: `broker_users` makes the broker accept them, and `takeover` ends connections of revoked sensors.
`recorder` reports each result as a span, a log line and Events. `cluster` and `sensors` are the edges: the API server,
and the pods' own counts of connected sensors.

How a scenario gets its verdict: `measuring` has the pods report their `results`, `history` keeps those of pods that
have ended, `verdict` judges them by `expect`, `results_status` writes them, and `scenario_trace` records the test as a
trace. The package `report` shows them to people.
"""
