"""What a failed call says to programs: the reason and the metadata of its ErrorInfo."""
import os

import harness

_modules = harness.generate(os.path.join(harness.ROOT, "proto"), "google/rpc/status",
                            "google/rpc/error_details")
_status, _details = (modules[0] for modules in _modules.values())


def reason_of(error):
    """The reason, or None, and the metadata of a grpc.RpcError."""
    packed = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    if packed is None:
        return None, {}
    status = _status.Status.FromString(packed)
    assert status.code == error.code().value[0], status
    [detail] = status.details
    info = _details.ErrorInfo()
    assert detail.Unpack(info), detail
    assert info.domain == "kvstore", info
    return info.reason, dict(info.metadata)
