"""The guide's code put together as it stands: what somebody writes in an afternoon."""
