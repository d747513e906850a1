"""A client that knows only the five frozen calls works, whatever was added beside them."""
import grpc

import harness

frozen, frozen_grpc = None, None


def load_frozen():
    """Its messages have the names of today's, so they must live in a process without those: this
    one imports the harness too, and gives them a descriptor pool of their own."""
    import importlib.util
    import os
    import tempfile
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from grpc_tools import protoc
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "set.bin")
        code = protoc.main(["protoc", f"-I{harness.HERE}", "-I/usr/include", "--include_imports",
                            f"--descriptor_set_out={out}", "frozen.proto"])
        assert code == 0, "protoc failed on frozen.proto"
        with open(out, "rb") as file:
            files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    service = pool.FindServiceByName("kvstore.KeyValueStore")
    return {method.name: (factory.GetPrototype(method.input_type),
                          factory.GetPrototype(method.output_type))
            for method in service.methods}
