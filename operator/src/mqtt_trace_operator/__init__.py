"""The operator of SensorFleet: fleets of simulated sensors that `kubectl scale` works on.

How a change flows: `handlers` learns of it and names the fleet, `workers` runs one reconcile of that fleet at a time,
and `reconcile` brings the cluster from what it is to what the fleet says. What is wanted is made by pure functions:
`fleet` reads the resource, `children` builds its objects, `drift` compares, `trouble` finds what pods cannot do, and
`status` tells of it. `cluster` and `sensors` are the edges: the API server, and the pods' own counts of sensors.
"""
