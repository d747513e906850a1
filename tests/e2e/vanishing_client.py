"""A client that begins calls and dies in the middle of them, as by kill -9.

    vanishing_client.py ADDRESS CHANNELS CALL...     CALL is METHOD_PATH=REQUEST_IN_HEX

Begins every call on each of the channels, waits until one of them has been answered, and kills
itself.
"""
import os
import signal
import sys

import grpc

OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0),
           ("grpc.max_receive_message_length", -1)]


def main():
    address, channels, *calls = sys.argv[1:]
    channels_kept, begun = [], []
    for _ in range(int(channels)):
        channel = grpc.insecure_channel(address, options=OPTIONS)
        channels_kept.append(channel)
        for call in calls:
            path, _, request = call.partition("=")
            # On the wire a single reply is a stream of one.
            begun.append(channel.unary_stream(path)(bytes.fromhex(request), wait_for_ready=True,
                                                    timeout=60))
    next(begun[len(begun) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


main()
