"""What a failed call says to programs: the reason and the metadata of its ErrorInfo."""
import base64
import os

import harness

_modules = harness.generate(os.path.join(harness.ROOT, "proto"), "google/rpc/status",
                            "google/rpc/error_details")
_status, _details = (modules[0] for modules in _modules.values())


def reason_of(error):
    """The reason, or None, and the metadata of a grpc.RpcError."""
    packed = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    return _read(packed, error.code().value[0]) if packed else (None, {})


def reason_in(trailers):
    """The reason, or None, of trailers as they are on the wire, a dictionary."""
    text = trailers.get("grpc-status-details-bin")
    return _read(base64.b64decode(text + "==="), int(trailers["grpc-status"]))[0] if text else None


def _read(packed, code):
    status = _status.Status.FromString(packed)
    assert status.code == code, status
    [detail] = status.details
    info = _details.ErrorInfo()
    assert detail.Unpack(info), detail
    assert info.domain == "kvstore", info
    return info.reason, dict(info.metadata)
