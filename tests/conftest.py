"""Lets tests interrupt what they start, also where the suite itself is a background job."""

import signal

# A shell starts background jobs with SIGINT ignored, and every process below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
