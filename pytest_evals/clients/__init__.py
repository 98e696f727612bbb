"""How models are asked: the Client protocol and a module for each wire format."""
