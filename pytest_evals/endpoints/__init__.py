"""Where models are served: the registry, the providers, managed servers, keys."""
