"""The command `mqtt-trace-fleet`: reports the results of a fleet's scenario.

`command` reads the fleet and its history, `record` finds what they say, `table` and `page` show it. The operator itself
imports nothing of it.
"""
