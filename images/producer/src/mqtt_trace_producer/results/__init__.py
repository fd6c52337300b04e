"""Exact results of a fleet with a scenario: which numbered readings were published, and which were processed.

`recorder` is the part that devices and the fleet call. `ledger` keeps the figures of each phase, with `intervals` for
the numbers of each sensor; `state` saves it over restarts of the container. `receipts` receives what consumers confirm,
and `receipt` reads it. `clocks` estimates how far a consumer's clock differs.
"""
