"""Results of scenarios: what the pods report, merged and judged."""
