"""The errors of mqtt_trace: one small tree.

MqttTraceError
└── ConfigurationError (also a ValueError)
"""


class MqttTraceError(Exception):
    """Base of every error that mqtt_trace raises on purpose."""


class ConfigurationError(MqttTraceError, ValueError):
    """A setting that cannot be used.

    Attributes:
        variable: The environment variable that carries the setting.
        problem: What is wrong with its value, in words that follow the name.
    """

    def __init__(self, *, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable
        self.problem = problem
