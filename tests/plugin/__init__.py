"""Sessions of pytest with the plugin."""
