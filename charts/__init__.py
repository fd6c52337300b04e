"""What is made from the chart."""
