"""A client that begins calls and is gone in the middle of them, as by kill -9.

    vanishing_client.py ADDRESS CHANNELS CALL...     CALL is METHOD_PATH=REQUEST_IN_HEX

Begins every call on each of the channels, waits for one first answer, and kills itself.
"""
import os
import queue
import signal
import sys

import grpc


def main():
    address, channels, *calls = sys.argv[1:]
    answered = queue.Queue()
    kept = []
    for _ in range(int(channels)):
        channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1),
                                                          ("grpc.enable_http_proxy", 0)])
        kept.append(channel)
        for call in calls:
            path, _, request = call.partition("=")
            # On the wire a single answer is a stream of one.
            answers = channel.unary_stream(path)(bytes.fromhex(request))
            answers.add_done_callback(lambda: answered.put(None))
            kept.append(answers)
    answered.get(timeout=60)
    os.kill(os.getpid(), signal.SIGKILL)


main()
