"""How models are asked: the Client protocol and a module for each wire format."""

from ..names import attribute_of

__getattr__ = attribute_of("clients")
