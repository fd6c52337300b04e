"""What is made from the chart."""

KUBERNETES = "1.34.0"
"""What `helm template --kube-version` gets: without it, a Helm from a distribution may assume Kubernetes 1.20."""
